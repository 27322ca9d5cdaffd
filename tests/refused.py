# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""Test that something is refused and leaves nothing half done"""
from contextlib import contextmanager

import pytest
from trytond.exceptions import UserError
from trytond.ir.error import Error
from trytond.modules.account.tax import TaxableMixin
from trytond.modules.project_progress_invoice import exceptions
from trytond.tests.test_tryton import DB_NAME
from trytond.transaction import Transaction

TABLES = [
    'account_progress_contract', 'account_progress_contract_line',
    'account_progress_contract_line-account_tax', 'account_invoice',
    'account_invoice_line',
    'account_invoice_tax', 'account_invoice_line-account_tax',
    'account_move', 'account_move_line', 'account_tax_line', 'sale_sale',
    'sale_line', 'project_work', 'project_advance_invoice',
    'project_intervention_request', 'project_intervention',
    'project_intervention_line']


def snapshot():
    "Return all the rows a refusal must let as they are"
    rows = {}
    with Transaction().start(DB_NAME, 1, readonly=True) as transaction:
        cursor = transaction.connection.cursor()
        for table in TABLES:
            cursor.execute(f'SELECT * FROM "{table}" ORDER BY id')
            rows[table] = cursor.fetchall()
    return rows


@contextmanager
def refused(*names, own=True):
    """
    Test that it is refused with the names, or the names of the records

    With own, the text must be of the module.
    """
    names = [getattr(n, 'rec_name', n) for n in names]
    before = snapshot()
    with pytest.raises(UserError) as info:
        yield
    for name in names:
        assert name in info.value.message
    if own:
        assert type(info.value).__module__ == exceptions.__name__, info.value
    assert snapshot() == before


@contextmanager
def tasks_refused():
    """
    Yield the refusals of the tasks, which no user waits for

    Tryton stores them in a transaction beside.  SQLite has only one: what the
    task did until it was refused would be stored with them.
    """
    refusals = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Error, 'report', classmethod(
                lambda cls, origin, exception: refusals.append(exception)))
        yield refusals


class EndlessRoundingError(UserError):
    pass


@contextmanager
def endless_rounding_refused():
    """
    Refuse what Tryton never ends

    It takes what the rounding of the taxes of a document leaves from those
    that are not 0, over and over, even when all are 0.
    """
    round_taxes = TaxableMixin._round_taxes

    def _round_taxes(self, taxes):
        if self.currency:
            left = self.currency.round(
                -sum(t.amount for t in taxes.values()), opposite=True)
            if left and not any(
                    self.currency.round(t.amount) for t in taxes.values()):
                raise EndlessRoundingError("Only taxes that round to 0")
        round_taxes(self, taxes)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(TaxableMixin, '_round_taxes', _round_taxes)
        yield
