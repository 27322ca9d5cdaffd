# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
from collections import namedtuple
from decimal import Decimal

from trytond.i18n import gettext
from trytond.model import ModelSQL, fields
from trytond.modules.company.company import CompanyReport
from trytond.modules.company.model import CompanyValueMixin
from trytond.pool import Pool, PoolMeta
from trytond.tools import firstline
from trytond.transaction import Transaction, without_check_access

from .common import OPEN
from .exceptions import ProgressContractError

Section = namedtuple('Section', ['title', 'lines'])
Document = namedtuple('Document', ['invoice', 'billed', 'paid', 'due'])
Movement = namedtuple(
    'Movement', ['description', 'document', 'date', 'quantity', 'amount'])


class Configuration(metaclass=PoolMeta):
    __name__ = 'account.configuration'

    progress_printed = fields.MultiValue(fields.Boolean(
            "Print Progress",
            help="Print on each line of a progress invoice how far the work "
            "is.\n"
            "Uncheck if the progress statement goes with the invoice."))

    @classmethod
    def multivalue_model(cls, field):
        pool = Pool()
        if field == 'progress_printed':
            return pool.get('account.configuration.progress')
        return super().multivalue_model(field)

    @classmethod
    def default_progress_printed(cls, **pattern):
        return cls.multivalue_model(
            'progress_printed').default_progress_printed()


class ConfigurationProgress(ModelSQL, CompanyValueMixin):
    __name__ = 'account.configuration.progress'

    progress_printed = fields.Boolean("Print Progress")

    @classmethod
    def default_progress_printed(cls):
        return True


class _Printed:
    "A record that is printed with other values"

    def __init__(self, record, **values):
        self._record = record
        self.__dict__.update(values)

    @property
    def __class__(self):
        return self._record.__class__

    def __getattr__(self, name):
        return getattr(self._record, name)

    def __int__(self):
        return int(self._record)

    def __str__(self):
        return str(self._record)


class _PrintedInvoice(_Printed):
    "A progress or project invoice on which each line tells what it bills"

    @property
    def lines(self):
        # When the template asks for them, it has set its language
        pool = Pool()
        Configuration = pool.get('account.configuration')
        with_progress = self.progress and Configuration(1).get_multivalue(
            'progress_printed', company=self.company.id)
        lines = []
        for line in _get_billing_lines(self._record.lines):
            values = {}
            if line.unit:
                values['unit'] = _Printed(
                    line.unit, digits=line.quantity_digits)
            if with_progress and line.on_progress:
                values['description'] = '\n'.join(filter(None, [
                            line.description,
                            gettext(
                                'project_progress_invoice.msg_line_progress',
                                current=_format_ratio(
                                    line.progress_current, self.party.lang),
                                previous=_format_ratio(
                                    line.progress_previous, self.party.lang)),
                            ]))
            lines.append(_Printed(line, **values))
        return lines


def _get_billing_lines(lines):
    """
    Return the lines without those of work that bill nothing and without what
    only groups such lines

    A title groups the lines up to the next title, or the sections up to the
    next such title if it is directly followed by another; a comment goes with
    its title and a subtotal with what it sums.
    """
    def is_idle(line):
        return line.on_progress and not line.quantity and not line.amount

    def left_out(lines):
        return lines and all(map(is_idle, lines))

    idle, summed, sections = set(), [], [[]]
    for line in lines:
        if line.type == 'title':
            sections.append([])
        sections[-1].append(line)
        if line.type == 'line':
            summed.append(line)
            if is_idle(line):
                idle.add(line)
        elif line.type == 'subtotal':
            if left_out(summed):
                idle.add(line)
            summed = []
    below = []
    for section in reversed(sections[1:]):
        if len(section) == 1:
            grouped, below = below, []
        else:
            grouped = [l for l in section if l.type == 'line']
            below.extend(grouped)
        if left_out(grouped):
            idle.update(l for l in section if l.type != 'subtotal')
    return [l for l in lines if l not in idle]


def _format_ratio(ratio, lang, digits=None):
    pool = Pool()
    Lang = pool.get('ir.lang')
    percent = Decimal(str(ratio or 0)) * 100
    if digits is None:
        digits = max(-percent.normalize().as_tuple().exponent, 0)
    number = (lang or Lang.get()).format_number(percent, digits=digits)
    return f'{number}\N{NO-BREAK SPACE}%'


class InvoiceReport(metaclass=PoolMeta):
    __name__ = 'account.invoice'

    @classmethod
    def get_context(cls, records, header, data):
        context = super().get_context(records, header, data)
        if context['invoice'].progress or context['invoice'].project_billing:
            context['invoice'] = context['record'] = _PrintedInvoice(
                context['invoice'])
        return context


class PartyReport(CompanyReport):
    "Report in the language of the party of its only record"

    @classmethod
    def execute(cls, ids, data):
        with Transaction().set_context(address_with_party=True):
            return super().execute(ids, data)

    @classmethod
    def get_context(cls, records, header, data):
        pool = Pool()
        Date = pool.get('ir.date')
        Lang = pool.get('ir.lang')
        context = super().get_context(records, header, data)
        record, = records
        party = cls.get_party(record)
        lang = (party.lang if party else None) or Lang.get()

        def format_quantity(quantity, unit):
            # The unit does not decide the digits of a progress
            quantity = Decimal(str(quantity or 0)).normalize()
            digits = max(-quantity.as_tuple().exponent, 0)
            if unit:
                return lang.format_number_symbol(quantity, unit, digits=digits)
            return lang.format_number(quantity, digits=digits)

        def format_price(line):
            return cls.format_currency(
                line.unit_price, lang, line.currency,
                digits=line.__class__.unit_price.digits[1])

        with Transaction().set_context(company=record.company.id):
            context['today'] = Date.today()
        context.update(
            lang=lang,
            currency=cls.get_currency(record),
            address=cls.get_address,
            line_description=cls.get_line_description,
            format_quantity=format_quantity,
            format_price=format_price)
        return context

    @classmethod
    def get_party(cls, record):
        return record.party

    @classmethod
    def get_currency(cls, record):
        return record.currency

    @classmethod
    def get_address(cls, record):
        party = cls.get_party(record)
        address = party.address_get(type='invoice') if party else None
        return address.full_address if address else ''

    @classmethod
    def get_line_description(cls, line):
        return '\n'.join(filter(None, [
                    line.product.rec_name if line.product else None,
                    line.description]))


class ContractReport(PartyReport):
    "What the statements of a progress invoice have in common"

    @classmethod
    def get_context(cls, records, header, data):
        invoice, = records
        if not invoice.progress:
            raise ProgressContractError(gettext(
                    'project_progress_invoice.msg_statement_progress',
                    invoice=invoice.rec_name))
        context = super().get_context(records, header, data)
        lang = context['lang']

        def format_ratio(ratio):
            return _format_ratio(ratio, lang, digits=2)

        documents = cls.get_documents(invoice)
        context.update(
            sections=cls.get_sections,
            documents=documents,
            # What is not work
            other=invoice.untaxed_amount - documents[-1].billed,
            format_ratio=format_ratio)
        return context

    @classmethod
    def get_address(cls, invoice):
        return invoice.invoice_address.full_address

    @classmethod
    def get_sections(cls, invoice):
        "Return the lines of work under each title"
        sections = [Section(None, [])]
        for line in invoice.lines:
            if line.type == 'title':
                sections.append(Section(line.description or '', []))
            elif line.on_progress:
                sections[-1].lines.append(line)
        return [s for s in sections if s.title or s.lines]

    @classmethod
    def get_documents(cls, invoice):
        "Return the documents of the contract up to the invoice"
        return [
            Document(
                document,
                document.progress_current_amount
                - document.progress_previous_amount,
                *document.get_progress_paid())
            for document in invoice.progress_invoices]


class ProgressStatement(ContractReport):
    __name__ = 'account.invoice.progress_statement'


class CumulativeStatement(ContractReport):
    __name__ = 'account.invoice.cumulative_statement'

    @classmethod
    def get_context(cls, records, header, data):
        context = super().get_context(records, header, data)
        invoice, = records
        *before, _ = context['documents']
        context.update(
            before=before,
            opening=(
                invoice.progress_previous_amount
                - sum(d.billed for d in before)),
            # The items of the contract that are not on the invoice
            absent=invoice.progress_current_amount - sum(
                l.progress_current_amount for l in invoice.lines
                if l.on_progress))
        return context


class AdvanceStatement(PartyReport):
    __name__ = 'project.work.advance_statement'

    @classmethod
    def get_context(cls, records, header, data):
        context = super().get_context(records, header, data)
        work, = records
        # Who reads the project may read it whole, in the language of the party
        with without_check_access(), \
                Transaction().set_context(language=context['lang'].code):
            context['advances'] = cls.get_movements(work.__class__(work.id))
        return context

    @classmethod
    def get_party(cls, work):
        return work.party_used

    @classmethod
    def get_currency(cls, work):
        return work.company.currency

    @classmethod
    def get_address(cls, work):
        if work.party_address:
            return work.party_address.full_address
        return super().get_address(work)

    @classmethod
    def get_movements(cls, work):
        """
        Return for each advance on account of the project what its residual is
        the sum of
        """
        pool = Pool()
        Invoice = pool.get('account.invoice')
        Line = pool.get('account.invoice.line')
        invoice = Invoice.__table__()
        movements = {}
        for advance in work.advance_invoices:
            if advance.type == 'on_account':
                movements[advance] = []
                if advance.opening_quantity:
                    movements[advance].append(Movement(
                            None, None, None, advance.opening_quantity,
                            advance.get_value(advance.opening_quantity)))
        for line in Line.search([
                    ('advance_invoice', 'in', [a.id for a in movements]),
                    ['OR',
                        ('invoice', 'in', invoice.select(
                                invoice.id, where=Invoice._live(invoice))),
                        [
                            ('invoice.state', 'in', OPEN),
                            ('advance_cancellation', '=', True),
                            ('quantity', '<', 0),
                            ],
                        ],
                    ],
                order=[
                    ('invoice.invoice_date', 'ASC NULLS LAST'),
                    ('id', 'ASC'),
                    ]):
            movements[line.advance_invoice].append(Movement(
                    firstline(line.description or ''),
                    line.invoice.rec_name, line.invoice.invoice_date,
                    line.quantity, line.amount))
        return [(a, m) for a, m in movements.items() if m]


class InterventionReport(PartyReport):
    __name__ = 'project.intervention.report'
