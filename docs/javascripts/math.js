// Renders the formulas of a page. Arithmatex has put each of them into an element of its own.
document$.subscribe(({ body }) => {
  for (const element of body.querySelectorAll(".arithmatex"))
    renderMathInElement(element, {
      delimiters: [
        { left: "\\(", right: "\\)", display: false },
        { left: "\\[", right: "\\]", display: true },
      ],
    })
})
