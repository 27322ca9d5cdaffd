# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""What the manual names is on the screens"""
import re
from decimal import Decimal
from pathlib import Path

import pytest
from lxml import etree
from proteus import Model
from trytond.transaction import Transaction
from trytond.wizard import StateView

from .registry import get_pool
from .tools import create_sale, get

SOURCE = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(
    not (SOURCE / 'doc').exists(), reason="Not a source folder")


def get_named():
    "Return the names in italics and of menus, by page"
    for path in [SOURCE / 'README.md', *(SOURCE / 'doc').glob('*.rst')]:
        text = ' '.join(path.read_text().split()).replace('**', '')
        for name in re.findall(r'(?<![*\w])\*([A-Z][^*]+)\*', text):
            yield path.name, name
        for path_ in re.findall(':menuselection:`([^`]+)`', text):
            for name in path_.split(' --> '):
                yield path.name, name


def get_labels():
    "Return what the client shows of all models, buttons, menus and actions"
    pool = get_pool()
    labels = {"Project Progress Invoice Module"}
    for name, field in [
            ('ir.model', 'string'),
            ('ir.model.button', 'string'),
            ('ir.ui.menu', 'name'),
            ('ir.action', 'name'),
            ('ir.action.act_window.domain', 'name'),
            ('res.group', 'name'),
            ]:
        Model = pool.get(name)
        labels.update(getattr(record, field) for record in Model.search([]))
    for _, Model in pool.iterobject():
        for field in Model._fields.values():
            labels.add(field.string)
            selection = getattr(field, 'selection', None)
            if isinstance(selection, list):
                labels.update(label for _, label in selection)
    for _, Wizard in pool.iterobject(type='wizard'):
        for state in Wizard.states.values():
            if isinstance(state, StateView):
                labels.update(b.string for b in state.buttons)
    for path in (SOURCE / 'view').glob('*.xml'):
        labels.update(etree.parse(path).xpath('//@string'))
    return labels


def test_manual_names_what_is_on_the_screens(database):
    pool = get_pool()
    with Transaction().start(pool.database_name, 1):
        labels = get_labels()
    assert not [n for n in get_named() if n[1] not in labels]


def test_working_day_of_eight_hours(database):
    hour = get('product.uom', "Hour")
    day = Model.get('product.uom')(
        name="Working Day", symbol="wd", category=hour.category, factor=8,
        rounding=.01, digits=2)
    day.save()
    template = Model.get('product.template')(
        name="Maintenance", type='service', default_uom=hour,
        list_price=Decimal('62.50'), salable=True, sale_uom=day,
        account_category=get('product.category', "Untaxed"))
    template.save()

    line = create_sale(state='draft').lines.new()
    line.product, = template.products
    line.quantity = 1.5

    assert (line.unit, line.unit_price) == (day, 500)
    assert line.amount == 750
