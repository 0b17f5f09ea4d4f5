"""The style sheet of the page: light and dark, no fonts or images from elsewhere."""

CSS = """\
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5b6570; --line: #d8dde3;
        --paper: #ffffff; --card: #f5f7f9; --mark: #fff4d6; --link: #0b62a8; --bad: #fdecea; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --soft: #9aa5b1; --line: #39414a; --paper: #15181c; --card: #1e2329;
          --mark: #3b3420; --link: #7cc0f5; --bad: #44201d; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
       font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 1.7em; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2em; margin: 2em 0 .6em; }
h3 { font-size: 1em; margin: 1.4em 0 .4em; }
a { color: var(--link); }
p { max-width: 46em; overflow-wrap: anywhere; }
.what { color: var(--soft); margin: .2em 0 1.4em; }
.problems { background: var(--bad); border-radius: 8px; padding: 12px 12px 12px 32px; }
.cards { display: grid; gap: 10px; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); }
.cards div { background: var(--card); border-radius: 8px; padding: 10px 14px; }
.cards dt { color: var(--soft); font-size: .85em; }
.cards dd { margin: 0; font-size: 1.35em; font-variant-numeric: tabular-nums; }
.figures { columns: 2 400px; column-gap: 16px; }
figure { margin: 0 0 16px; background: #ffffff; color: #1b1f24; border: 1px solid var(--line);
         border-radius: 8px; padding: 14px; break-inside: avoid; }
figure img { display: block; width: 100%; max-width: 560px; height: auto; margin: 0 auto; }
figcaption { color: #5b6570; font-size: .87em; margin-top: 10px; }
figcaption a { color: #0b62a8; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9em; }
th, td { padding: 5px 12px 5px 0; text-align: left; vertical-align: top;
         border-bottom: 1px solid var(--line); overflow-wrap: break-word; }
th { color: var(--soft); font-weight: 600; }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
th, th.n { vertical-align: bottom; white-space: normal; overflow-wrap: normal; }
.scroll td:last-child:not(.n) { min-width: 16em; }
tr.mark { background: var(--mark); }
pre { background: var(--card); border-radius: 8px; padding: 12px; overflow-x: auto;
      font-size: .85em; }
summary { cursor: pointer; margin: 1em 0 .4em; }
"""
