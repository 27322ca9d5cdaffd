# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"Draw how the module grows beside plain Tryton"
import argparse
import json
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use('svg')
# The same drawing for the same measures
matplotlib.rcParams['svg.hashsalt'] = 'growth'

from matplotlib import pyplot  # noqa: E402


def draw(axes, rows):
    "Draw the seconds of the rows by their size, those of Tryton dashed"
    measures = defaultdict(list)
    for row in rows:
        measures[row['what']].append((row['size'], row['ours'], row['plain']))
    for what, points in measures.items():
        sizes, ours, plain = zip(*sorted(points))
        line, = axes.plot(sizes, ours, marker='o', label=what)
        axes.plot(sizes, plain, linestyle='--', color=line.get_color())
    axes.grid(alpha=.3)
    axes.legend(fontsize='small', loc='best')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'measures', type=Path, help="the JSON of bench.py --growth")
    parser.add_argument('chart', type=Path, help="the SVG to write")
    options = parser.parse_args()

    measures = json.loads(options.measures.read_text())
    figure, (by_lines, by_invoices) = pyplot.subplots(1, 2, figsize=(11, 5))
    figure.suptitle(
        "This module and what is beside it in the benchmark (dashed), "
        "Tryton {series} on {database}".format(**measures))
    rows = defaultdict(list)
    for row in measures['rows']:
        rows[row['what'].startswith("After")].append(row)
    draw(by_lines, rows[False])
    by_lines.set(
        xscale='log', yscale='log', xlabel="Lines", ylabel="Seconds")
    draw(by_invoices, rows[True])
    _, top = by_invoices.get_ylim()
    by_invoices.set(xlabel="Invoices before", ylim=(0, 1.2 * top))
    figure.tight_layout()
    options.chart.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.chart, metadata={'Date': None})


if __name__ == '__main__':
    main()
