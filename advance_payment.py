# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
The recall of the advance payments of the sales by their progress invoices

It needs the module sale_advance_payment.
"""
from trytond.i18n import gettext
from trytond.pool import Pool, PoolMeta
from trytond.transaction import without_check_access

from .common import OPEN
from .exceptions import (
    AdvanceDepositError, AdvanceResidualError, ProgressImportError)


class Sale(metaclass=PoolMeta):
    __name__ = 'sale.sale'

    @classmethod
    def check_progress_import(cls, sales, invoice):
        super().check_progress_import(sales, invoice)
        for sale in sales:
            if (sale.advance_payment_eligible()
                    and not sale.advance_payment_completed):
                raise ProgressImportError(gettext(
                        'project_progress_invoice.msg_sale_advance_payment',
                        sale=sale.rec_name, invoice=invoice.rec_name))

    @classmethod
    def import_progress(cls, sales, invoice):
        pool = Pool()
        Invoice = pool.get('account.invoice')
        super().import_progress(sales, invoice)
        Invoice.recall_advance_payments([invoice])

    def get_ordinary_invoice_lines(self):
        lines = super().get_ordinary_invoice_lines()
        invoices = {l.invoice for l in lines if l.invoice}
        for advance_line in self.advance_payment_lines:
            for line in advance_line.invoice_lines:
                lines.extend(
                    l for l in line.advance_payment_recalled_lines
                    if l.invoice in invoices)
        return lines


class Invoice(metaclass=PoolMeta):
    __name__ = 'account.invoice'

    @property
    def recall_lines(self):
        "The lines that recall the advance payments of the sales"
        return [l for l in self.lines if l.is_recall] if self.progress else []

    @classmethod
    def recall_advance_payments(cls, invoices):
        "Add to the draft invoices what is left to recall for their sales"
        pool = Pool()
        Line = pool.get('account.invoice.line')
        lines = []
        with without_check_access():
            for invoice in cls.browse(invoices):
                sequence = invoice.next_line_sequence
                for sale in sorted(invoice.sales, key=lambda s: s.id):
                    if not sale.advance_payment_completed:
                        continue
                    for line in sale.get_recall_lines(invoice):
                        line.sequence = sequence
                        sequence += 10
                        lines.append(line)
            Line.save(lines)

    @classmethod
    def _recall_again(cls, invoices):
        "Let the drafts recall what the invoices do no more"
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        if contracts := {i.progress_contract for i in invoices}:
            cls.recall_advance_payments([
                    i for i in Contract.get_open_documents(contracts)
                    if i.state == 'draft' and not i.progress_credited_invoice])

    def _add_contract_lines(self):
        super()._add_contract_lines()
        self.recall_advance_payments([self])

    @classmethod
    def _post(cls, invoices):
        super()._post(invoices)
        cls._recall_again([
                i for i in invoices
                if i.progress_credited_invoice and i.recall_lines])

    @classmethod
    def _check_posting(cls, invoices):
        super()._check_posting(invoices)
        cls._check_recalls(invoices)

    @classmethod
    def _check_recalls(cls, invoices):
        "Check no more of an advance payment is recalled than was paid"
        pool = Pool()
        Line = pool.get('account.invoice.line')
        for invoice in invoices:
            for line in invoice.recall_lines:
                advance = Line(line.origin.id)
                left = advance.amount + sum(
                    l.amount for l in advance.advance_payment_recalled_lines)
                if line.amount < 0 and left < 0:
                    raise AdvanceResidualError(gettext(
                            'project_progress_invoice.msg_recall_beyond',
                            line=line.rec_name,
                            invoice=invoice.rec_name,
                            advance=advance.invoice.rec_name,
                            amount=-left))

    @classmethod
    def cancel(cls, invoices):
        super().cancel(invoices)
        cls._recall_again([i for i in invoices if i.recall_lines])

    def call_deposit(self, account, description, maximum=None):
        for line in self.recall_lines:
            # It would be replaced and recalled again by the next invoice
            if line.account == account:
                raise AdvanceDepositError(gettext(
                        'project_progress_invoice.msg_recall_deposit',
                        account=account.rec_name,
                        line=line.rec_name,
                        invoice=self.rec_name))
        return super().call_deposit(account, description, maximum=maximum)


class InvoiceLine(metaclass=PoolMeta):
    __name__ = 'account.invoice.line'

    @classmethod
    def __setup__(cls):
        super().__setup__()
        # What a progress invoice recalls counts from its draft on until it
        # is cancelled and what a credit note gives back once it is posted.
        cls.advance_payment_recalled_lines.filter = ['OR',
            ('invoice.progress', '=', False),
            [
                ('invoice.state', 'in', OPEN),
                ('quantity', '<', 0),
                ],
            [
                ('invoice.state', 'in', ['posted', 'paid']),
                ['OR',
                    ('invoice.progress_credited_invoice', '=', None),
                    ('invoice.progress_credited_invoice.state',
                        '!=', 'cancelled'),
                    ],
                ],
            ]

    @property
    def is_recall(self):
        "If it recalls an advance payment or credits such a recall"
        pool = Pool()
        AdvancePaymentLine = pool.get('sale.advance_payment.line')
        origin = self.origin
        return (
            isinstance(origin, self.__class__)
            and isinstance(origin.origin, AdvancePaymentLine))

    def _credit(self):
        line = super()._credit()
        if self.invoice and self.invoice.progress and self.is_recall:
            # It gives back to the advance payment
            line.origin = self.origin
        return line
