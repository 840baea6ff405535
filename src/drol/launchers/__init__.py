"""Where the cells of a grid are trained: here, on Slurm, on Ray, or by a script that is submitted by hand."""
