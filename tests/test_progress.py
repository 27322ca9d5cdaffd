# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""The rule of an item, without a database"""
import doctest
import random
from decimal import Decimal
from functools import partial

import pytest
from trytond.modules.project_progress_invoice import progress
from trytond.modules.project_progress_invoice.progress import Item


def cents(amount, digits=2):
    return round(amount, digits)


def random_item(source, **values):
    "Return an item of which nothing is billed, with figures of any size"
    total = Decimal(source.choice([
                0, 1, -1, source.randint(1, 1000),
                round(source.uniform(-1000, 1000), source.randint(0, 10))]))
    total = round(total, 10)
    price = round(Decimal(source.choice([
                    0, 1, source.uniform(-1000, 10000),
                    source.uniform(0, 1e9)])), 4)
    return Item(
        total, price, partial(cents, digits=source.choice([0, 2, 3])),
        **values)


@pytest.fixture(params=range(10))
def source(request):
    return random.Random(request.param)


def test_doctests():
    tried = doctest.testmod(progress)
    assert tried.attempted and not tried.failed


def test_instalments_sum_to_the_total(source):
    for _ in range(50):
        item = random_item(source)
        ratios = sorted(
            Decimal(source.random()) for _ in range(source.randint(0, 40)))
        billed = []
        for ratio in [*ratios, Decimal(1)]:
            current = item.get_current(round(item.get_quantity(ratio), 10))
            assert item.get_fault(current) is None
            billed.append(item.get_amount(current))
            assert item.get_amount(item.previous) == 0
            item = item._replace(
                previous=current, billed=item.billed + billed[-1])
        assert item.previous == item.total
        assert sum(billed) == item.get_value(item.total)


def test_price_changes_between_the_instalments(source):
    for _ in range(50):
        item = random_item(source)
        for ratio in sorted(Decimal(source.random()) for _ in range(5)):
            price = item.price * source.choice([1, 2, Decimal('.9')])
            item = item._replace(price=price, billed_price=item.price)
            current = item.get_current(round(item.get_quantity(ratio), 10))
            item = item._replace(
                previous=current,
                billed=item.billed + item.get_amount(current))
            if current:
                assert item.billed == item.get_value(current)


def test_what_is_shown_changes_nothing(source):
    for _ in range(50):
        item = random_item(source)
        current = round(item.get_quantity(Decimal(source.random())), 10)
        shown = item.get_ratio(current)
        typed = Decimal(str(shown))
        assert item.get_typed(None, typed, current) is None
        assert item.get_typed(current, typed, current) == current


def test_what_is_billed_is_credited_to_the_cent(source):
    for _ in range(50):
        item = random_item(source)
        first, second = sorted(
            round(item.get_quantity(Decimal(source.random())), 10)
            for _ in range(2))
        if item.total < 0:
            first, second = second, first
        item = item._replace(previous=first, billed=item.get_value(first))
        billed = item.get_amount(second)
        credit = item._replace(
            previous=second, billed=item.billed + billed,
            creditable=(second - first, billed))
        assert credit.default == first
        assert credit.get_fault(first) is None
        assert credit.get_amount(first) == -billed
        part = round(first + (second - first) / 3, 10)
        assert credit.get_amount(part) + credit._replace(
            previous=part, billed=credit.billed + credit.get_amount(part),
            creditable=(part - first, billed + credit.get_amount(part)),
            ).get_amount(first) == -billed
