# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
The amendment of what a contract bills

It needs the module sale_amendment.
"""
from trytond.i18n import gettext
from trytond.pool import Pool, PoolMeta

from .common import OPEN, lock_together
from .exceptions import ProgressAccessError


class Amendment(metaclass=PoolMeta):
    __name__ = 'sale.amendment'

    @classmethod
    def validate_amendment(cls, amendments):
        pool = Pool()
        Sale = pool.get('sale.sale')
        sales = Sale.browse(list({a.sale.id for a in amendments}))
        lock_together(sales)
        Sale._check_progress(sales, OPEN, message='msg_amendment_open')
        for amendment in amendments:
            for line in amendment.lines:
                if line.action == 'line':
                    cls._check_progress_line(line)
                elif line.action == 'party':
                    cls._check_progress_party(line)
        super().validate_amendment(amendments)

    @classmethod
    def _check_progress_party(cls, line):
        sale = line.sale
        party = line.invoice_party or line.party
        if party == (sale.invoice_party or sale.party):
            return
        for document in sale.progress_documents:
            raise ProgressAccessError(gettext(
                    'project_progress_invoice.msg_amendment_party',
                    sale=sale.rec_name,
                    party=document.party.rec_name,
                    invoice=document.rec_name))

    @classmethod
    def _check_progress_line(cls, line):
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        sale_line = line.line
        if sale_line.in_progress_contract and (
                line.quantity != sale_line.quantity
                or line.unit_price != sale_line.unit_price):
            closed = Contract.get_closed({
                    d.progress_contract
                    for d in sale_line.sale.progress_documents})
            for contract in Contract.browse(closed):
                raise ProgressAccessError(gettext(
                        'project_progress_invoice.msg_amendment_closed',
                        line=sale_line.rec_name,
                        contract=contract.rec_name))
        if sale_line.in_progress_contract and line.unit != sale_line.unit:
            raise ProgressAccessError(gettext(
                    'project_progress_invoice.msg_amendment_unit',
                    line=sale_line.rec_name))
        billed = sale_line.progress_billed_quantity
        if not billed:
            return
        low, high = sorted([0, line.quantity])
        if not low <= billed <= high:
            raise ProgressAccessError(gettext(
                    'project_progress_invoice.msg_amendment_quantity',
                    line=sale_line.rec_name,
                    quantity=line.quantity,
                    billed=billed))


class Invoice(metaclass=PoolMeta):
    __name__ = 'account.invoice'

    def _get_next_values(self):
        values = super()._get_next_values()
        for sale in self.progress_contract.sales:
            amended = {
                l.action for a in sale.amendments for l in a.lines
                if a.state == 'validated'
                and (a.write_date or a.create_date) > self.create_date}
            if 'payment_term' in amended:
                values['payment_term'] = (
                    sale.payment_term.id if sale.payment_term else None)
            if 'party' in amended:
                values['invoice_address'] = sale.invoice_address.id
        return values
