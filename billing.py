# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
What the documents that bill contracts or projects have in common
"""
import copy
from decimal import Decimal

from sql.operators import Exists
from trytond.model import ModelView, fields
from trytond.pool import Pool, PoolMeta
from trytond.transaction import Transaction

from .common import lock_together, to_quantity


def has_fixed_tax(taxes):
    return any(t.type == 'fixed' or has_fixed_tax(t.childs) for t in taxes)


def set_base(taxable_lines, amount, quantity):
    """
    Return the taxable lines with the amount as base

    It has not the noise of a price by quantity, but the taxes of a fixed
    amount are those of the quantity.
    """
    if not quantity and not amount:
        return []
    # A change of price is billed without quantity: a negligible one prevents
    # to tax it again
    quantity = to_quantity(quantity) or Decimal('1E-10')
    return [
        (taxes, amount / quantity, quantity, date)
        if has_fixed_tax(taxes)
        else (taxes, amount, 1, date)
        for taxes, _, _, date in taxable_lines]


class RecordFunction(fields.Function):
    """
    A function field whose value on a record is the one of on_change_with

    It is only read with the record for the client, by its column, to let the
    records of the server be read as without it.
    """

    def __get__(self, inst, cls):
        if inst is None:
            return self
        return getattr(inst, f'on_change_with_{self.name}')()

    def __copy__(self):
        return RecordFunction(copy.copy(self._field), self.getter)

    def __deepcopy__(self, memo):
        return RecordFunction(copy.deepcopy(self._field, memo), self.getter)


class Invoice(metaclass=PoolMeta):
    __name__ = 'account.invoice'

    @classmethod
    def _live(cls, invoice):
        """
        Return the SQL expression to test that the invoice table bills.

        A credit note whose move cancels its cancelled invoice bills nothing
        as the cancelled invoice does no more.
        """
        cancelled = cls.__table__()
        return (
            invoice.state.in_(['posted', 'paid'])
            & ~Exists(cancelled.select(
                    cancelled.id,
                    where=(cancelled.cancel_move == invoice.move)
                    & (cancelled.state == 'cancelled'))))

    @property
    def _is_billing(self):
        "If a contract or a project depends on its state"
        return False

    @classmethod
    def _lock_billing(cls, invoices, post=False):
        """
        Lock what the invoices bill and, to post, also the sequences

        It must be called before any sum because it may restart the
        transaction.
        """
        invoices = [i for i in invoices if i._is_billing]
        to_lock = cls._get_billing_records(invoices)
        if post:
            to_lock.extend(cls._get_posting_sequences(invoices))
        lock_together(to_lock)

    @classmethod
    def _get_billing_records(cls, invoices):
        "Return the records that one invoice can bill at a time"
        return []

    @classmethod
    def _get_posting_sequences(cls, invoices):
        "Return the sequences that number the invoices and their moves"
        pool = Pool()
        Date = pool.get('ir.date')
        Period = pool.get('account.period')
        sequences = []
        for invoice in invoices:
            if not invoice.number:
                sequences.append(invoice._number_sequence()[0])
            if not invoice.move:
                with Transaction().set_context(company=invoice.company.id):
                    today = Date.today()
                period = Period.find(
                    invoice.company,
                    date=invoice.accounting_date
                    or invoice.invoice_date or today)
                sequences.append(period.move_sequence_used)
        return sequences

    # Buttons themselves to check the access before anything else and because
    # Tryton 8.2 checks it again for what is called outside of a button

    @classmethod
    @ModelView.button
    def post(cls, invoices):
        cls._lock_billing(invoices, post=True)
        super().post(invoices)

    @classmethod
    def _post(cls, invoices):
        if billing := [i for i in invoices if i._is_billing]:
            cls._lock_billing(billing, post=True)
            # The state may be already posted by post_batch or process
            cls._check_posting([
                    i for i in billing
                    if not i.move or i.move.state != 'posted'])
        super()._post(invoices)

    @classmethod
    def _check_posting(cls, invoices):
        "Check again under the lock what could have changed since the draft"


class InvoiceLine(metaclass=PoolMeta):
    __name__ = 'account.invoice.line'

    quantity_unit = RecordFunction(
        fields.Many2One(
            'product.uom', "Quantity Unit",
            help="The unit whose digits the quantity has."),
        None)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        # The unit never decides the money
        cls.quantity.digits = 'quantity_unit'

    @classmethod
    def column_quantity_unit(cls, tables):
        table, _ = tables[None]
        return table.unit

    @fields.depends('unit')
    def on_change_with_quantity_unit(self, name=None):
        return self.unit

    @classmethod
    def search_credits(cls, lines, domain):
        """
        Return for each line of the domain which credits one of the lines, or
        credits such a credit, the one of the lines
        """
        roots = {l: l for l in lines}
        found = lines
        while found:
            found = cls.search([
                    ('origin', 'in', [str(l) for l in found]), *domain],
                order=[])
            roots.update((l, roots[l.origin]) for l in found)
        return {l: r for l, r in roots.items() if l != r}
