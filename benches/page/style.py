"""The page's style sheet. Colours are named once, for light and for dark."""

from __future__ import annotations

# (light, dark) by contender: ours in clear colours, peers muted, all apart in lightness or hue.
COLOURS = {
    "c-library": ("#1466d8", "#5fa8ff"),
    "c-command": ("#0b8f74", "#3fc9a6"),
    "c-agent-v1": ("#7a3fe0", "#ac8bff"),
    "c-agent-v3": ("#b12fc0", "#e58bf0"),
    "c-runc": ("#d0700b", "#e69a48"),
    "c-crun": ("#b5315a", "#e57b9b"),
    "c-bwrap": ("#6c7a1c", "#b3c34f"),
    "c-youki": ("#8a5a2b", "#c79a6b"),
    "c-go-agent": ("#0b7f9c", "#5cc0d8"),
    "c-rust-agent": ("#a8391f", "#e58468"),
    "c-floor": ("#6a727c", "#9aa3ad"),
}
OTHER = ("#6a727c", "#9aa3ad")

LIGHT = {"page": "#f7f7f5", "panel": "#ffffff", "ink": "#1c1f24", "soft": "#68707b", "grid": "#e8e8e4"}
DARK = {"page": "#131518", "panel": "#1b1e23", "ink": "#e9eaec", "soft": "#969da8", "grid": "#2b2f36"}

RULES = """
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 880px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 18px; margin: 0; }
h2 code { font-size: 13px; font-weight: 400; color: var(--soft); margin-left: 8px; }
p { margin: 4px 0; }
.soft, .facts, .lead { color: var(--soft); }
.facts { font-size: 13px; }
section { background: var(--panel); border: 1px solid var(--grid); border-radius: 10px;
  padding: 18px 20px; margin-top: 18px; overflow-x: auto; }
svg { display: block; width: 100%; min-width: 560px; height: auto; margin-top: 10px; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); font-variant-numeric: tabular-nums; }
svg text.soft { fill: var(--soft); }
svg text.mode { font-weight: 600; fill: var(--soft); }
svg text.ours, svg .strong text.figure { font-weight: 700; }
.grid { stroke: var(--grid); stroke-width: 1; fill: none; }
.unity { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 3 3; opacity: 0.6; fill: none; }
.density { fill: var(--c); opacity: 0.28; }
.strong .density { opacity: 0.5; }
.rug { stroke: var(--c); stroke-width: 1; opacity: 0.35; fill: none; }
.span { stroke: var(--c); stroke-width: 1.5; fill: none; }
.p50 { stroke: var(--c); stroke-width: 3.5; fill: none; stroke-linecap: round; }
.whisker { stroke: var(--c); stroke-width: 2; opacity: 0.5; fill: none; }
.mark circle { stroke: var(--c); stroke-width: 2; fill: var(--c); }
.hollow circle { fill: var(--panel); }
.curve { stroke: var(--c); stroke-width: 2; fill: none; stroke-linejoin: round; }
.dashed .curve { stroke-dasharray: 5 4; opacity: 0.8; }
.line circle { fill: var(--c); }
svg .line text.name { fill: var(--c); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px; margin-top: 8px; }
.dot { display: inline-block; width: 10px; height: 10px; border-radius: 5px; background: var(--c);
  margin-right: 6px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr));
  gap: 14px; margin-top: 18px; }
.tile { background: var(--panel); border: 1px solid var(--grid); border-radius: 10px; padding: 14px 16px; }
.tile b { display: block; font-size: 28px; line-height: 1.25; letter-spacing: -0.02em; color: var(--c); }
.tile small { display: block; color: var(--soft); font-size: 13px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 8px 16px; }
.pair svg { min-width: 320px; }
table { border-collapse: collapse; font-size: 14px; margin-top: 8px; width: 100%; }
td { padding: 4px 12px 4px 0; border-top: 1px solid var(--grid); }
td.figure { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
pre { font: 12px/1.45 ui-monospace, monospace; overflow-x: auto; }
section > details { margin-top: 10px; }
summary { cursor: pointer; color: var(--soft); }
.failed { border-color: #c8402f; }
"""


def style() -> str:
    light = _block(":root", LIGHT) + f'[class*="c-"] {{ --c: {OTHER[0]}; }}\n'
    light += "".join(_block("." + name, {"c": pair[0]}) for name, pair in COLOURS.items())
    dark = _block(":root", DARK) + f'[class*="c-"] {{ --c: {OTHER[1]}; }}\n'
    dark += "".join(_block("." + name, {"c": pair[1]}) for name, pair in COLOURS.items())
    scheme = ":root { color-scheme: light dark; }\n"
    return f"{scheme}{light}@media (prefers-color-scheme: dark) {{\n{dark}}}\n{RULES}"


def _block(selector: str, variables: dict[str, str]) -> str:
    said = " ".join(f"--{name}: {value};" for name, value in variables.items())
    return f"{selector} {{ {said} }}\n"
