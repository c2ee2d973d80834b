// A glyph is visible while all groups that it belongs to are switched on.
(() => {
  const boxes = [...document.querySelectorAll("#toggles input")];
  const update = () => {
    const on = new Set(boxes.filter((box) => box.checked).map((box) => box.dataset.group));
    const plot = Bokeh.documents[0].get_model_by_name("unit_graph");
    for (const renderer of plot.renderers) {
      renderer.visible = renderer.tags.every((group) => on.has(group));
    }
  };
  for (const box of boxes) box.addEventListener("change", update);
})();
