# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
The correction of progress invoices

It needs the module account_invoice_correction.
"""
from trytond.i18n import gettext
from trytond.pool import PoolMeta

from .exceptions import ProgressLineError


class InvoiceCorrect(metaclass=PoolMeta):
    __name__ = 'account.invoice.correct'

    def do_correct(self, action):
        for line in self.start.lines:
            if line.on_progress:
                raise ProgressLineError(gettext(
                        'project_progress_invoice.msg_correct_progress',
                        line=line.rec_name, invoice=line.invoice.rec_name))
        return super().do_correct(action)
