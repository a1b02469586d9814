"""How well text stands out from its ground, as the guidelines for accessible web pages (WCAG 2) measure it."""

# Run in a page with a selector: the ratio of each element's colour to the ground that it stands on, from 1 to 21.
CONTRAST = """selector => {
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
    const [r, g, b] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return [...document.querySelectorAll(selector)].map((element) => {
    let ground = element;
    const clear = () => getComputedStyle(ground).backgroundColor.endsWith(", 0)");
    while (ground.parentElement && clear()) ground = ground.parentElement;
    const two = [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor].map(light);
    return (Math.max(...two) + 0.05) / (Math.min(...two) + 0.05);
  });
}"""
