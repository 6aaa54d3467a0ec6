"""How the page looks: Gradio's plain theme with fonts of the system, in light and dark."""

from __future__ import annotations

import gradio as gr

THEME = gr.themes.Base(
    primary_hue="indigo",
    neutral_hue="slate",
    radius_size="lg",
    font=["system-ui", "sans-serif"],  # Gradio's own asks Google for some
    font_mono=["ui-monospace", "monospace"],
).set(
    body_background_fill="*neutral_50",
    body_background_fill_dark="*neutral_950",
    block_background_fill="white",
    block_background_fill_dark="*neutral_900",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    block_label_text_color="*neutral_700",
    block_label_text_color_dark="*neutral_200",
    block_title_text_color="*neutral_700",
    block_title_text_color_dark="*neutral_200",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    button_primary_background_fill_dark="*primary_500",
    button_primary_background_fill_hover_dark="*primary_600",
    button_primary_text_color="white",
    input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_400",
)

CSS = """
.gradio-container {overflow: clip !important; width: 100%; max-width: 1720px !important; margin: 0 auto}
.head {display: flex; flex-wrap: wrap; align-items: baseline; gap: .3em 1em; padding: .5em 0}
.head h1 {font-size: 1.7em; font-weight: 700; letter-spacing: -.02em; margin: 0}
.head p {margin: 0; color: var(--body-text-color-subdued)}
.head .chip {margin-left: auto; padding: .15em .8em; border-radius: 99em; font-size: .9em;
  border: 1px solid var(--border-color-primary); background: var(--block-background-fill);
  overflow-wrap: anywhere}
#message:not(:has(p)), #words:not(:has(dl)) {display: none}
#message {position: sticky; top: .5em; z-index: 60}
#message p {background: var(--block-background-fill); box-shadow: 0 4px 18px rgb(0 0 0 / .18);
  border-radius: var(--radius-lg)}
p[role=alert], p[role=status] {border-left: 5px solid #2563eb; padding: .5em .9em; margin: .3em 0}
p[role=alert] {border-left-color: #dc2626}
#drop .icon-wrap {display: none}
#drop .wrap {padding-top: 1.6em; font-size: 1em; line-height: 1.5}
#sample input {text-overflow: ellipsis; margin-right: 1.8em}
#source img, #edits img {width: 100%; height: 100%; object-fit: contain}
.words {display: grid; grid-template-columns: auto 1fr; gap: .25em .8em; margin: 0; line-height: 1.5}
.words dt {color: var(--body-text-color-subdued)}
.words dd {margin: 0; overflow-wrap: anywhere}
.words mark {padding: .05em .3em; border-radius: .3em; font-weight: 600; background: #fde68a; color: #78350f}
.words dd + dt + dd mark {background: #bbf7d0; color: #14532d}
.painter {display: grid; gap: .7em}
.painter[hidden] {display: none}
.painter .layers {display: grid; justify-content: center}
.painter .layers > * {grid-area: 1 / 1; max-width: 100%; max-height: 28em; margin: 0}
.painter canvas {opacity: .55; cursor: crosshair; touch-action: none}
.painter .tools {display: flex; flex-wrap: wrap; gap: .5em; align-items: center}
.painter label {display: flex; gap: .5em; align-items: center}
.painter input {accent-color: var(--color-accent); width: 8em}
.painter button {padding: .3em .9em; font-size: .95em; font-weight: 500; border-radius: 99em;
  border: 1px solid var(--border-color-primary);
  background: var(--button-secondary-background-fill); color: var(--button-secondary-text-color)}
.painter button[aria-pressed=true] {background: var(--button-primary-background-fill); color: white}
.empty {display: grid; place-content: center; gap: .6em; min-height: 26em; padding: 2em;
  border: 2px dashed var(--border-color-primary); border-radius: var(--radius-xl)}
.empty h2 {margin: 0 0 .3em; font-size: 1.25em; font-weight: 650}
.empty ol {margin: 0; padding-left: 1.4em; list-style: decimal; line-height: 1.9}
ul.edits {list-style: none; padding: 0; margin: 0}
ul.edits li {display: grid; grid-template-columns: minmax(9em, 1fr) 2fr minmax(6em, auto); gap: .9em;
  align-items: center; padding: .25em 0; font-variant-numeric: tabular-nums}
ul.edits li > :first-child {font-weight: 600; overflow-wrap: anywhere}
ul.edits li > :last-child {color: var(--body-text-color-subdued)}
ul.edits li > :nth-child(2):last-child {grid-column: 2 / -1}
ul.edits progress {width: 100%; height: .6em; border: 0; border-radius: 99em; overflow: hidden;
  appearance: none; background: var(--border-color-primary); accent-color: var(--color-accent)}
ul.edits progress::-webkit-progress-bar {background: var(--border-color-primary)}
ul.edits progress::-webkit-progress-value {background: var(--color-accent); transition: width .25s}
ul.edits progress::-moz-progress-bar {background: var(--color-accent)}
#edits .grid-container {grid-template-columns: repeat(auto-fill, minmax(13em, 1fr)) !important}
#edits .grid-wrap {min-height: 0; height: auto; max-height: none; padding-top: 2em}
#edits .thumbnail-item {aspect-ratio: auto; height: auto; overflow: visible}
#edits .thumbnail-item img {aspect-ratio: 1; height: auto; border-radius: var(--radius-md);
  background: var(--background-fill-secondary)}
#edits .caption-label {position: static; max-width: none; overflow: visible; white-space: pre-line;
  text-align: left; background: none; box-shadow: none; border: 0; padding: .45em .7em;
  overflow-wrap: anywhere; color: var(--body-text-color); font-size: .92em;
  font-variant-numeric: tabular-nums}
#edits .caption-label::first-line {font-weight: 600}
.wide {overflow-x: auto}
table.scores {border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%}
table.scores, table.scores :is(th, td, tr, thead) {border: 0 !important}
table.scores th, table.scores td {padding: .4em .7em; text-align: right; white-space: nowrap}
table.scores tr {box-shadow: 0 1px var(--border-color-primary)}
table.scores thead th {font-weight: 500; white-space: normal; vertical-align: bottom;
  color: var(--body-text-color-subdued)}
table.scores th:first-child {text-align: left; position: sticky; left: 0;
  background: var(--body-background-fill)}
table.scores td.best {font-weight: 700; color: #4338ca}
.dark table.scores td.best {color: #a5b4fc}
ul.notes {margin: .6em 0 0; padding-left: 1.2em; color: var(--body-text-color-subdued); list-style: disc}
:focus-visible {outline: 3px solid var(--color-accent); outline-offset: 2px}
@media (max-width: 640px) {
  .head .chip {margin-left: 0}
  ul.edits li {grid-template-columns: 1fr auto}
  ul.edits li > progress {grid-column: 1 / -1; grid-row: 2}
  .empty {min-height: 12em}
  #edits .grid-container {grid-template-columns: repeat(2, 1fr) !important}
}
"""

TO_RESULTS = """() => {
  const results = document.getElementById('results');
  if (results && results.getBoundingClientRect().top > innerHeight * .6)
    results.scrollIntoView({behavior: 'smooth', block: 'start'});
}"""
"""On a narrow page the results are below what was pressed."""

TO_CHOICES = """async found => {
  const field = document.activeElement;
  if (field && field.closest('#sample')) {
    field.blur();
    await new Promise(done => setTimeout(done, 50));
  }
  return {__type__: 'update', ...found};
}"""
"""Choices of the samples' list, which is closed first: Gradio's page fails where an open list loses some."""
