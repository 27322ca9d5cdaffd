# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
What the invoices of progress and those of projects stand on
"""
from decimal import Context, Decimal
from itertools import groupby
from operator import attrgetter

from trytond import __series__, backend
from trytond.i18n import gettext
from trytond.model import fields
from trytond.pool import Pool
from trytond.tools import grouped_slice
from trytond.transaction import Transaction, TransactionError, check_access

from .exceptions import ProgressAccessError

OPEN = ['draft', 'validated']
# The quantities and prices from which an amount has more digits than a Decimal
LIMIT = 10 ** 12
# How many records a query names: it has other parameters as well
SLICE = backend.MAX_QUERY_PARAMS // 2


def editable(condition):
    """
    Return the states that let the client edit a field when the condition is
    met but let the server accept the value anyway.
    """
    if __series__ == '8.0':
        return {'readonly': ~condition if condition else True}
    else:
        # Since 8.2 the server enforces readonly
        return {'editable': condition}


def let_readonly(field, condition):
    "Keep also the client from editing the field when the condition is met"
    if __series__ == '8.0':
        field.states['readonly'] = (
            field.states.get('readonly', False) | condition)
    else:
        # Since 8.2 the server enforces readonly
        field.states['editable'] = (
            field.states.get('editable', True) & ~condition)


def to_quantity(value):
    """
    Return the quantity as Decimal without the noise of the float.

    10 decimals are more than any unit has and less than what a float loses.
    """
    return Decimal(str(value or 0)).quantize(
        Decimal('1E-10'), context=Context(prec=400))


def get_boolean_domain(clause, true, false):
    "Return the domain of the clause on a boolean from those of its values"
    _, operator, value = clause
    values = value if operator in {'in', 'not in'} else [value]
    values = set(map(bool, values))
    if operator in {'!=', 'not in'}:
        values = {True, False} - values
    return ['OR',
        ('id', '=', -1),
        *(d for v, d in [(True, true), (False, false)] if v in values)]


class _LockTogetherError(TransactionError):
    def __init__(self, errors):
        super().__init__()
        self._errors = errors

    def fix(self, extras):
        super().fix(extras)
        for error in self._errors:
            error.fix(extras)


def lock_together(records):
    """
    Lock the records of any models

    The transaction restarts once for all of them, not once for each model.
    """
    transaction = Transaction()
    errors = []
    grouped = [
        (model, list(m_records)) for model, m_records in groupby(
            sorted(records, key=attrgetter('__name__')),
            key=attrgetter('__class__'))]
    for model, m_records in grouped:
        try:
            model.lock(m_records)
        except TransactionError as error:
            errors.append(error)
    if errors:
        raise _LockTogetherError(errors)
    if not transaction.database.has_select_for():
        return
    # Tryton takes the locks in the statements that decide what the
    # transaction sees.  If another one commits in between, they are free but
    # what it did is not seen.  Rows that it modified can not be locked then,
    # and the transaction starts again.
    cursor = transaction.connection.cursor()
    for model, m_records in grouped:
        table = model.__table__()
        for sub_records in grouped_slice(m_records, SLICE):
            cursor.execute(*table.update(
                    [table.create_date], [table.create_date],
                    where=fields.SQL_OPERATORS['in'](
                        table.id, [r.id for r in sub_records])))


def check_write_access(cls, mode, *values):
    "Check the access before anything that tells a value by its refusal"
    pool = Pool()
    pool.get('ir.model.access').check(cls.__name__, mode)
    pool.get('ir.model.field.access').check(
        cls.__name__, list(set().union(*values)), 'write')


def check_readonly(cls, names, values, records=None):
    """
    Refuse the values that only the server sets

    Values which are those of the records are accepted, as are the default
    ones when there are no records yet.  Tryton 8.0 leaves it to the client.

    They are compared with what the user can read, for whether they are
    refused tells what the records have.
    """
    names = names & values.keys()
    if not names:
        return
    with check_access():
        check_write_access(
            cls, 'create' if records is None else 'write', names)
        if records is None:
            defaults = {n: cls._defaults.get(n) for n in names}
            currents = [{n: d() if d else None for n, d in defaults.items()}]
        else:
            currents = cls.read([r.id for r in records], list(names))
    for current in currents:
        for name in names:
            if (current[name] or None) != (values[name] or None):
                raise ProgressAccessError(gettext(
                        'project_progress_invoice.msg_readonly',
                        **cls.__names__(field=name)))


def check_readable(cls, records):
    """
    Let who can not read the records know no more of them

    It must be called before what is refused tells their values.
    """
    with check_access():
        cls.read([r.id for r in records], ['id'])


class ReadonlyMixin:
    "Let only the server set some fields"
    __slots__ = ()
    _readonly_fields = set()

    @classmethod
    def create(cls, vlist):
        if Transaction().check_access:
            for values in vlist:
                check_readonly(cls, cls._readonly_fields, values)
        return super().create(vlist)

    @classmethod
    def check_modification(cls, mode, records, values=None, external=False):
        super().check_modification(
            mode, records, values=values, external=external)
        if mode == 'write' and external:
            check_readonly(cls, cls._readonly_fields, values, records)
