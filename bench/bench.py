# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
Measure the module beside plain Tryton

What is compared runs in turn in one process, each time on a new record, and
the medians are divided.  The calls go through proteus, which like the server
starts the request again for each lock that it meets late.  The report that is
made when an invoice is posted is left out, for it is Tryton's on both sides.
"""
import argparse
import gc
import json
import time
from collections import namedtuple
from functools import partial
from pathlib import Path
from statistics import median
from unittest.mock import patch

import trytond.config as config
from stories import (
    bill_after, bill_second, copy_invoice, create_same_invoices, invoice_tasks,
    make_manual_invoice, make_next_invoice, make_progress_invoice,
    post_manual_invoice, post_next_invoice, read_manual_invoices,
    read_progress_invoices, read_residuals, save_line, save_row, sum_residuals,
    type_percent, type_quantity, value_interventions)
from trytond import __series__, backend
from trytond.cache import Cache
from trytond.modules.account_invoice.invoice import Invoice
from trytond.modules.project_progress_invoice.tests.test_cost import (
    DEPENDS, measure_all, measure_ordinary)
from trytond.modules.project_progress_invoice.tests.tools import (
    activate, setup_company)
from trytond.tests.test_tryton import DB_NAME
from trytond.tests.tools import activate_modules

LINE = '{:<30} {:>5}  {:<24} {:>6} {:<2} {:<4} {:>9} {:>9}'
STATEMENTS = "Statements"
FEW, MANY = 100, 1000
# How often a row is measured: less once it took the seconds, never the least
REPEATS, LEAST, SECONDS = 21, 3, 60
INVOICES = 35  # before the one that is measured
GROWTH_LINES = [10, 100, 1000, 3000]
GROWTH_INVOICES = [1, 12, 36]

Row = namedtuple('Row', ['what', 'size', 'beside', 'goal', 'ours', 'plain'])


def get_line_row(lines, what, beside, goal, ours, plain):
    return Row(
        what, lines, beside, goal, partial(ours, lines), partial(plain, lines))


def get_draft_rows(lines):
    return [
        get_line_row(
            lines, "First invoice of a sale", "invoice of the sale", 1.25,
            make_progress_invoice, make_manual_invoice),
        get_line_row(
            lines, "Next invoice", "copy of an invoice", 1.25,
            make_next_invoice, copy_invoice),
        ]


def get_post_rows(lines):
    return [
        get_line_row(
            lines, "Post, every line bills", "post of the sale's", 1.00,
            post_next_invoice, post_manual_invoice),
        get_line_row(
            lines, "Post, 1 line in 10 bills", "post of the sale's", .60,
            partial(post_next_invoice, step=10), post_manual_invoice),
        ]


def get_percent_row(lines):
    return get_line_row(
        lines, "Percent typed", "quantity typed", 1.50,
        type_percent, type_quantity)


def get_entry_row(lines):
    return get_line_row(
        lines, "Row of Progress Lines saved", "a line in the form", 1.00,
        save_row, save_line)


def get_contract_row(lines, invoices):
    return Row(
        "After n invoices, make and post", invoices, "after the first", 1.10,
        partial(bill_after, lines, invoices), partial(bill_second, lines))


def get_rows(few, many, invoices):
    contracts = max(few // 10, 1)
    return [
        *get_draft_rows(few),
        *get_draft_rows(many),
        # They would take minutes with many lines
        *get_post_rows(few),
        get_percent_row(few),
        get_percent_row(many),
        Row("Percent typed", many, f"on {few} lines", 1.10,
            partial(type_percent, many), partial(type_percent, few)),
        get_entry_row(few),
        get_entry_row(many),
        get_contract_row(few, invoices),
        Row("List and forms", few, "of plain invoices", 1.15,
            partial(read_progress_invoices, contracts, few // contracts),
            partial(read_manual_invoices, few)),
        Row("Value interventions", many, "create the same invoices", 1.30,
            partial(value_interventions, many // few, few),
            partial(create_same_invoices, many // few, few)),
        Row("Residuals of advances", many, "one grouped query", 1.50,
            partial(read_residuals, many), partial(sum_residuals, many)),
        Row("Invoice tasks with an advance", few, "without", 1.15,
            partial(invoice_tasks, few, True),
            partial(invoice_tasks, few, False)),
        ]


def get_growth_rows(lines, invoices):
    rows = []
    for n in lines:
        rows.extend([
                *get_draft_rows(n), *get_post_rows(n), get_percent_row(n)])
    return rows + [get_contract_row(lines[0], n) for n in invoices]


def measure(story):
    "Return the seconds of what the story measures"
    next(story)
    gc.collect()
    start = time.perf_counter()
    next(story)
    seconds = time.perf_counter() - start
    for _ in story:
        raise AssertionError("It is to yield twice")
    return seconds


def compare(row, repeats):
    "Return the median seconds of both sides of the row, run in turn"
    def measure_both():
        return measure(row.ours()), measure(row.plain())

    first = measure_both()  # it fills the caches
    start = time.monotonic()
    seconds = []
    while len(seconds) < repeats and (
            len(seconds) < LEAST or time.monotonic() - start < SECONDS):
        seconds.append(measure_both())
    return [median(s) for s in zip(*(seconds or [first]))]


def measure_few():
    return {'ordinary': measure_ordinary(1)}


def count_statements(measure):
    "Yield what is done with ordinary invoices and what both sides take"
    activate_modules(DEPENDS, setup_company)
    without = measure()
    # The database that it replaces has other modules
    Cache.drop(DB_NAME)
    activate()
    for what, (*made, posted) in measure().items():
        *plain_made, plain_posted = without[what]
        yield f"{STATEMENTS} to make, {what}", sum(made), sum(plain_made)
        yield f"{STATEMENTS} to post, {what}", posted, plain_posted


def report(what, size, beside, goal, ours, plain):
    "Print the row and return what is written of it"
    ratio = ours / plain
    print(LINE.format(
            what, size, beside, f'{ratio:.2f}', '<=' if ratio <= goal else '>',
            f'{goal:.2f}', f'{ours:.4g}', f'{plain:.4g}'), flush=True)
    return {
        'what': what, 'size': size, 'beside': beside, 'goal': goal,
        'ratio': ratio, 'ours': ours, 'plain': plain}


def main():
    parser = argparse.ArgumentParser(
        description="Measure the module beside plain Tryton")
    parser.add_argument(
        '--quick', action='store_true', help="try it with small numbers")
    parser.add_argument(
        '--growth', action='store_true',
        help="measure how it grows with the lines and the invoices")
    parser.add_argument(
        '--only', default='', metavar='WORD',
        help="measure the rows that start with the word")
    parser.add_argument('output', type=Path, help="the JSON to write")
    options = parser.parse_args()

    if options.quick:
        few, many, invoices, repeats = 2, 4, 1, 0
        growth = [few, many], [1, 2]
    else:
        few, many, invoices, repeats = FEW, MANY, INVOICES, REPEATS
        growth = GROWTH_LINES, GROWTH_INVOICES
    if options.growth:
        rows = get_growth_rows(*growth)
    else:
        rows = get_rows(few, many, invoices)

    # SQLite can not roll back the transaction in which Tryton renews its
    # caches: what is started again there would find its own half
    config.set('cache', 'clean_timeout', str(24 * 60 * 60))
    print(f"Tryton {__series__} on {backend.name}, in seconds or statements")
    print(LINE.format(
            "what", "size", "beside", "ratio", "", "goal", "ours", "plain"))
    results = []
    with patch.object(
            Invoice, 'print_invoice', classmethod(lambda cls, invoices: None)):
        if not options.growth and STATEMENTS.startswith(options.only):
            for what, *counts in count_statements(
                    measure_few if options.quick else measure_all):
                results.append(report(
                        what, 1, "without the module", 1, *counts))
        else:
            activate()
        for row in rows:
            if not row.what.startswith(options.only):
                continue
            results.append(report(*row[:4], *compare(row, repeats)))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({
                'series': __series__,
                'database': backend.name,
                'rows': results,
                }, indent=2))


if __name__ == '__main__':
    main()
