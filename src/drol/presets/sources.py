"""Where the numbers come from, in words that are printed and recorded."""

AUTHORS = "authors' public production commands"
BORROWED = "borrowed from antmaze-large-navigate: no published preset"

FQL_PAPER = "FQL paper (Park et al. 2025), Table 6"
FQL_README = "README of the FQL repository"
SORL_COMMANDS = "commands of the SORL repository, whose update --public-update repeats"
DEFLOW_COMMANDS = "commands of the DeFlow repository"
REFORM_CODE = "defaults of the ReFORM repository, one set for all its tasks: antmaze-large, cube and scene"
REFORM_ELSEWHERE = "borrowed from ReFORM's other tasks, which all have one set: it reports no results here"

TITLES = {
    "bc": "BC",
    "flow-bc": "Flow BC",
    "iql": "IQL",
    "rebrac": "ReBRAC",
    "fawac": "FAWAC",
    "fbrac": "FBRAC",
    "ifql": "IFQL",
    "fql": "FQL",
    "sorl": "SORL",
    "deflow": "DeFlow",
    "meanflow-ql": "MeanFlow-QL",
    "reform": "ReFORM",
    "drol": "DROL",
}
"""Methods as their papers write them, in the order of tables."""

SOURCES = {
    "drol": AUTHORS,
    "bc": f"nothing to tune, as in the {FQL_PAPER}",
    "flow-bc": "nothing to tune: the flow that FQL distils, alone",
    **dict.fromkeys(("iql", "rebrac", "fawac", "fbrac", "ifql"), FQL_PAPER),
    "fql": FQL_README,
    "sorl": SORL_COMMANDS,
    "deflow": DEFLOW_COMMANDS,
    "reform": REFORM_CODE,
}

INFERRED = "inferred from the offline-to-online runs: FQL paper (Park et al. 2025), Table 7"
DOUBTFUL = f"{FQL_PAPER}; the number is hard to read there"

UNREAD = "unknown: the row could not be read in Table 6 of the FQL paper (Park et al. 2025)"
NOT_REPORTED = "unknown: SORL reports no results on it"
D4RL_CONFIGURATIONS = {
    "iql": "tinkoff-ai/CORL: configs/offline/iql",
    "rebrac": "tinkoff-ai/CORL: configs/offline/rebrac",
}
LACKING = {
    ("iql", "antmaze"): "observations are normalized (--normalize-observations) and networks have two layers of 256",
    ("iql", "adroit"): "the actor has dropout of 0.1, which is not implemented; observations are normalized "
    "(--normalize-observations) and networks have two layers of 256",
    (
        "rebrac",
        "antmaze",
    ): "rewards are 100 at the goal and 0 elsewhere, which here are 0 and -1, and the critic's learning "
    "rate is 5e-5, which cannot be set apart here; networks have three layers of 256",
    ("rebrac", "adroit"): "networks have three layers of 256",
}
"""What those configurations have beside the values of a preset, by algorithm and family."""

BC_COPIED = "on D4RL the FQL paper copies its results from earlier work"
