# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
What is billed of a project before it is done

The residual of an advance is what is left of it to cancel:

    residual = opening + billed - cancelled

* opening: what was billed outside of Tryton, its quantity by the unit price
* billed: the lines of live documents that bill the advance, less those that
  credit them
* cancelled: the lines of live and open documents that cancel it, less those
  of live documents that give it back

each in the currency of the company, to the cent, and in the unit of the
advance.  The amount rules: the quantity of a residual of 0.00 is 0.  What an
open credit note is about to credit is no more available.

It is the contract liability of IFRS 15, paragraph 106: what the customer paid,
or owes, for what is not yet delivered.
"""
import datetime as dt
from collections import defaultdict, namedtuple
from decimal import Decimal
from functools import cached_property
from itertools import chain

from sql.aggregate import Sum
from sql.conditionals import Case, Coalesce
from sql.functions import Round
from trytond import backend
from trytond.i18n import gettext
from trytond.model import ModelSQL, ModelView, fields, sequence_ordered
from trytond.modules.currency.fields import Monetary
from trytond.pool import Pool
from trytond.pyson import Bool, Date, Eval, Id, If
from trytond.tools import grouped_slice, sqlite_apply_types
from trytond.transaction import Transaction, without_check_access

from .common import (
    OPEN, SLICE, ReadonlyMixin, check_readable, editable, get_boolean_domain,
    lock_together, to_quantity)
from .exceptions import (
    AdvanceAccessError, AdvanceAssociationError, AdvanceInvoiceError,
    AdvanceResidualError, AdvanceSetupError)
from .pricing import PricingMixin

_Figures = namedtuple('_Figures', [
        'billed_amount', 'cancelled_amount', 'credited_amount',
        'residual_amount', 'residual_quantity'])


class Figures(_Figures):
    """
    What was billed, opening included, and cancelled of an advance, what open
    credit notes are about to credit and what is left
    """
    __slots__ = ()

    @property
    def available_amount(self):
        return self.residual_amount - self.credited_amount


class Available:
    """
    What can be cancelled of an advance: the amount, which goes down as it is
    used, the line that bills the advance, if any, and its Figures
    """

    def __init__(self, advance, amount, billed=None, figures=None):
        self.advance = advance
        self.amount = amount
        self.billed = billed
        self.figures = figures

    @cached_property
    def description(self):
        return self.advance.get_cancellation_description(self.billed)


class AdvanceInvoice(
        ReadonlyMixin, PricingMixin, sequence_ordered(),
        ModelSQL, ModelView):
    __name__ = 'project.advance_invoice'
    _readonly_fields = {'residual_date'}
    _pricing_parent = 'work'

    _on_account = {
        'invisible': Eval('type') != 'on_account',
        }

    work = fields.Many2One(
        'project.work', "Project", required=True, ondelete='CASCADE',
        domain=[
            ('type', '=', 'project'),
            ('company', '=', Eval('company', -1)),
            ],
        states=editable(~Eval('id', -1) | (Eval('id', -1) < 0)))
    company = fields.Many2One(
        'company.company', "Company", required=True,
        states=editable(~Eval('work', None)))
    currency = fields.Many2One(
        'currency.currency', "Currency", required=True,
        states=editable(~Eval('work', None)))
    party = fields.Function(
        fields.Many2One(
            'party.party', "Party",
            context={
                'company': Eval('company', -1),
                },
            depends={'company'}),
        'on_change_with_party')
    line_type = fields.Selection([
            ('coded', "Coded"),
            ('uncoded', "Uncoded"),
            ], "Line Type", required=True, sort=False,
        states=editable(~Eval('billed', False)),
        help="Whether it is defined by a product or by a description.")
    product = fields.Many2One(
        'product.product', "Product", ondelete='RESTRICT',
        domain=[
            ('default_uom_category', '=', Id('product', 'uom_cat_time')),
            ],
        states={
            'invisible': Eval('line_type') != 'coded',
            **editable(~Eval('billed', False)),
            },
        context={
            'company': Eval('company', None),
            },
        depends={'company'})
    taxes = fields.Many2Many(
        'project.advance_invoice-account.tax', 'advance_invoice', 'tax',
        "Taxes",
        order=[('tax.sequence', 'ASC'), ('tax.id', 'ASC')],
        domain=[
            ('parent', '=', None),
            ['OR',
                ('group', '=', None),
                ('group.kind', 'in', ['sale', 'both']),
                ],
            ('company', '=', Eval('company', -1)),
            ],
        states=editable(~Eval('billed', False)))
    unit = fields.Many2One(
        'product.uom', "Unit", required=True, ondelete='RESTRICT',
        domain=[
            ('category', '=', Id('product', 'uom_cat_time')),
            ],
        states=editable(~Eval('billed', False)))
    opening_quantity = fields.Float(
        "Opening Quantity", digits='unit', states=_on_account,
        help="The quantity billed outside of Tryton that is not yet "
        "cancelled.")
    opening_amount = Monetary(
        "Opening Amount", currency='currency', digits='currency',
        states={
            **_on_account,
            **editable(False),
            },
        help="What the opening quantity is worth.")
    type = fields.Selection([
            ('on_account', "On Account"),
            ('to_balance', "To Balance"),
            ], "Type", required=True, sort=False,
        states=editable(~Eval('billed', False)),
        help="On Account: to be cancelled later.\n"
        "To Balance: to bill and to cancel what is left of the others.")
    billed = fields.Function(
        fields.Boolean(
            "Billed",
            help="If it has an invoice which is not fully credited."),
        'get_billed', searcher='search_billed')
    residual_quantity = fields.Function(
        fields.Float(
            "Residual Quantity", states=_on_account,
            help="What is left to cancel."),
        'get_residuals', searcher='search_residual')
    residual_amount = fields.Function(
        Monetary(
            "Residual Amount", currency='currency', digits='currency',
            states=_on_account,
            help="What is left to cancel."),
        'get_residuals', searcher='search_residual')
    residual_date = fields.Date(
        "Residual Date", readonly=True, states=_on_account,
        help="When the residual was last brought up to date.")
    active_from = fields.Date(
        "Active From", states=_on_account,
        domain=[
            If(Bool(Eval('active_from')) & Bool(Eval('closed_date')),
                ('active_from', '<=', Eval('closed_date', None)),
                ()),
            ],
        help="The date from which it is proposed.")
    closed_date = fields.Date(
        "Closed Date", states=_on_account,
        domain=[
            If(Bool(Eval('active_from')) & Bool(Eval('closed_date')),
                ('closed_date', '>=', Eval('active_from', None)),
                ()),
            ],
        help="The last date at which it covers something.")
    invoice_lines = fields.One2Many(
        'account.invoice.line', 'origin', "Invoice Lines", readonly=True,
        filter=[
            ('advance_cancellation', '!=', True),
            ],
        help="The lines that bill it.")
    cancellation_lines = fields.One2Many(
        'account.invoice.line', 'advance_invoice', "Cancellation Lines",
        readonly=True,
        filter=[
            ('advance_cancellation', '=', True),
            ],
        states=_on_account,
        help="The lines that cancel it.")
    invoices = fields.Function(
        fields.Many2Many(
            'account.invoice', None, None, "Invoices",
            help="The invoices that bill it and their credit notes."),
        'get_invoices', searcher='search_invoices')

    del _on_account

    # The fields that can not change once it is billed
    _billed_fields = {
        'work', 'company', 'currency', 'line_type', 'product', 'taxes',
        'unit', 'quantity', 'unit_price', 'type'}

    @classmethod
    def __setup__(cls):
        super().__setup__()
        for name in ['quantity', 'unit_price']:
            getattr(cls, name).states.update(editable(~Eval('billed', False)))
        on_account = {
            'invisible': Eval('type') != 'on_account',
            'depends': ['type'],
            }
        cls._buttons.update({
                'valorize': {},
                'update_residual': on_account,
                'refund_residual': on_account,
                'close_residual': on_account,
                })

    @classmethod
    def default_company(cls):
        return Transaction().context.get('company')

    @classmethod
    def default_currency(cls):
        pool = Pool()
        Company = pool.get('company.company')
        if company := cls.default_company():
            return Company(company).currency.id

    @classmethod
    def default_line_type(cls):
        return 'coded'

    @classmethod
    def default_unit(cls):
        pool = Pool()
        ModelData = pool.get('ir.model.data')
        return ModelData.get_id('product', 'uom_day')

    @classmethod
    def default_type(cls):
        return 'on_account'

    @fields.depends(
        'work', 'company', 'currency', 'taxes', '_parent_work.company',
        methods=['_get_sale_line'])
    def on_change_work(self):
        if self.work and self.work.company:
            self.company = self.work.company
            self.currency = self.work.company.currency
            self.taxes = self._get_sale_line().taxes

    @fields.depends('work', '_parent_work.party', '_parent_work.parent')
    def on_change_with_party(self, name=None):
        if self.work:
            return self.work.party_used

    @fields.depends('line_type', 'product')
    def on_change_line_type(self):
        if self.line_type != 'coded':
            self.product = None

    @fields.depends('product', 'unit')
    def on_change_product(self):
        if self.product:
            # It takes its sale unit, whatever the default one is
            self.unit = None
        super().on_change_product()

    @property
    @fields.depends('currency')
    def pricing_currency(self):
        return self.currency

    @property
    @fields.depends(
        'company', 'currency', methods=['on_change_with_party'])
    def pricing_pattern(self):
        return {
            'company': self.company,
            'party': self.on_change_with_party(),
            'currency': self.currency,
            }

    @fields.depends('line_type', 'quantity', 'taxes')
    def on_change_notify(self):
        notifications = super().on_change_notify()
        if self.line_type == 'uncoded' and self.quantity and not self.taxes:
            notifications.append(('warning', gettext(
                        'project_progress_invoice.msg_advance_no_tax')))
        return notifications

    @staticmethod
    def compute_quantity(amount, unit_price, currency):
        "Return the quantity whose value is the amount to the cent"
        quantity = amount / unit_price
        rounded = to_quantity(quantity)
        if currency.round(rounded * unit_price) == amount:
            # More digits would only be noise
            quantity = rounded
        return float(quantity)

    @classmethod
    def view_attributes(cls):
        on_account = Eval('type') == 'on_account'
        residual = Eval('residual_amount', 0)
        return super().view_attributes() + [
            ('/tree', 'visual',
                If(on_account & Eval('billed', False) & (residual == 0),
                    'muted',
                    If((residual > 0)
                        & (Eval('closed_date', dt.date.max) < Date()),
                        'warning', '')),
                ['type', 'billed', 'residual_amount', 'closed_date']),
            # Unlike those of a button these states let the server say why
            ('//group[@id="valorize"]', 'states', {
                    'invisible': ~Eval('quantity', 0),
                    }, ['quantity']),
            ('//group[@id="settle"]', 'states', {
                    'invisible': residual <= 0,
                    }, ['residual_amount']),
            ]

    @classmethod
    def _query_figures(cls, names, advances=None):
        """
        Return the query of the named Figures of the advances, rounded as the
        docstring of the module tells, after the id of the advance and the
        digits of its currency
        """
        pool = Pool()
        Currency = pool.get('currency.currency')
        Invoice = pool.get('account.invoice')
        Line = pool.get('account.invoice.line')
        table = cls.__table__()
        currency = Currency.__table__()
        line = Line.__table__()
        invoice = Invoice.__table__()
        opened = invoice.state.in_(OPEN)
        cancellation = Coalesce(line.advance_cancellation, False)
        back = line.quantity < 0
        # What cancels counts at once, what is given back only once posted
        counts = ~opened | opened & cancellation & back

        def sum_(condition, value, zero=0):
            return Sum(Case((condition, value), else_=zero))

        def to_cents(amount):
            return Round(amount, currency.digits).cast(amount_type)

        amount_type = cls.residual_amount._field.sql_type().base
        opening = Coalesce(table.opening_amount, 0)
        residual_amount = to_cents(
            opening + sum_(counts, line.advance_amount))
        residual_quantity = Coalesce(table.opening_quantity, 0) + sum_(
            counts, line.quantity, 0.)
        figures = {
            'billed_amount': to_cents(opening + sum_(
                    counts & ~cancellation, line.advance_amount)),
            'cancelled_amount': to_cents(sum_(
                    counts & cancellation, -line.advance_amount)),
            'credited_amount': to_cents(sum_(
                    opened & ~cancellation & back, -line.advance_amount)),
            'residual_amount': residual_amount,
            'residual_quantity': Case(
                (residual_amount == 0, 0),
                else_=Round(residual_quantity.cast(amount_type), 10)),
            }
        where = None
        if advances is not None:
            where = fields.SQL_OPERATORS['in'](
                table.id, [a.id for a in advances])
        return (table
            .join(currency, condition=table.currency == currency.id)
            .join(line, 'LEFT', condition=line.advance_invoice == table.id)
            .join(invoice, 'LEFT',
                condition=(line.invoice == invoice.id)
                & (opened | Invoice._live(invoice)))
            .select(
                table.id, currency.digits, *(figures[n].as_(n) for n in names),
                where=where,
                group_by=[
                    table.id, table.opening_amount, table.opening_quantity,
                    currency.digits]))

    @classmethod
    def _read_figures(cls, names, advances):
        "Return for the id of each advance the named Figures"
        cursor = Transaction().connection.cursor()
        query = cls._query_figures(names, advances)
        if backend.name == 'sqlite':
            sqlite_apply_types(query, [None, None, *(
                        'NUMERIC' if n.endswith('_amount') else None
                        for n in names)])
        cursor.execute(*query)
        # SQLite rounds to a float, and to -0
        return {
            id_: [
                round(f, digits) + 0 if n.endswith('_amount') else float(f)
                for n, f in zip(names, figures)]
            for id_, digits, *figures in cursor}

    @classmethod
    def get_figures(cls, advances):
        "Return the Figures of each advance, by one query"
        figures = {}
        for sub_advances in grouped_slice(advances, SLICE):
            figures.update(
                cls._read_figures(Figures._fields, list(sub_advances)))
        return {a: Figures(*figures[a.id]) for a in advances}

    @classmethod
    def get_residuals(cls, advances, names):
        # They are read for long lists, and the other figures take their time
        figures = cls._read_figures(names, advances)
        return {
            n: {id_: f[i] for id_, f in figures.items()}
            for i, n in enumerate(names)}

    @classmethod
    def search_residual(cls, name, clause):
        _, operator, value = clause
        Operator = fields.SQL_OPERATORS[operator]
        figures = cls._query_figures([name])
        if isinstance(value, (list, tuple, set)):
            value = [float(v) if v is not None else None for v in value]
        elif value is not None:
            value = float(value)
        return [('id', 'in', figures.select(
                    figures.id,
                    where=Operator(getattr(figures, name), value)))]

    @classmethod
    def get_billing_lines(cls, advances):
        """
        Return for each advance the line that bills it

        It is None when it is not billed or when it is credited in full.
        """
        return {
            a: (lines or [None])[-1]
            for a, lines in cls._get_billing_lines(advances).items()}

    @classmethod
    def _get_billing_lines(cls, advances):
        pool = Pool()
        Line = pool.get('account.invoice.line')
        ids = [a.id for a in advances]
        lines = Line.search([
                ('origin', 'in', [str(a) for a in advances]),
                ['OR',
                    ('advance_invoice', 'in', ids),
                    ('covered_by_advance', 'in', ids),
                    ],
                ('advance_cancellation', '!=', True),
                # What is refunded of an opening is negative
                ('quantity', '>', 0),
                ('invoice.state', 'in', OPEN + ['posted', 'paid']),
                ], order=[('id', 'ASC')])
        result = {a: [] for a in advances}
        for line in Line.get_uncredited(lines):
            result[line.origin].append(line)
        return result

    @classmethod
    def get_billed(cls, advances, name):
        with without_check_access():
            return {
                a.id: bool(l) for a, l
                in cls.get_billing_lines(advances).items()}

    @classmethod
    def search_billed(cls, name, clause):
        with without_check_access():
            lines = cls.get_billing_lines({
                    l.origin.origin for l in cls._get_credit_lines(
                        [('invoice.state', 'in', ['posted', 'paid'])])})
        credited = [a.id for a, l in lines.items() if not l]
        invoiced = [
            ('quantity', '>', 0),
            ('invoice.state', 'in', OPEN + ['posted', 'paid']),
            ]
        return get_boolean_domain(clause, [
                ('invoice_lines', 'where', invoiced),
                ('id', 'not in', credited),
                ], ['OR',
                ('invoice_lines', 'not where', invoiced),
                ('id', 'in', credited),
                ])

    @classmethod
    def _get_credit_lines(cls, domain):
        "Return the lines of the domain that credit those that bill advances"
        pool = Pool()
        Line = pool.get('account.invoice.line')
        return Line.search([
                ('origin.origin', 'like', 'project.advance_invoice,%',
                    'account.invoice.line'),
                ('advance_cancellation', '!=', True),
                domain,
                ])

    def get_invoices(self, name):
        pool = Pool()
        Line = pool.get('account.invoice.line')
        invoices = [l.invoice for l in self.invoice_lines if l.invoice]
        credits = Line.search([
                ('origin', 'in', [str(l) for l in self.invoice_lines]),
                ('advance_cancellation', '!=', True),
                ('invoice', '!=', None),
                ])
        invoices.extend(l.invoice for l in credits)
        return [i.id for i in dict.fromkeys(invoices)]

    @classmethod
    def search_invoices(cls, name, clause):
        invoice = 'invoice' + clause[0][len(name):]
        return ['OR',
            (f'invoice_lines.{invoice}', *clause[1:]),
            ('id', 'in', [
                    l.origin.origin.id for l in cls._get_credit_lines(
                        [(invoice, *clause[1:])])]),
            ]

    @classmethod
    def get_ranked(cls, keys):
        """
        Return for each tuple of project, party and date the advances which
        may be used, in this order

        They are active at the date and have something left: first those of
        the nearest project, then the oldest.
        """
        keys = set(keys)
        candidates = cls.search([
                ('work', 'in', list(
                        {w.id for work, *_ in keys for w in work.lineage})),
                ('type', '=', 'on_account'),
                ], order=[('id', 'ASC')])
        figures = cls.get_figures(candidates)
        candidates = [
            a for a in candidates if figures[a].residual_amount > 0]
        ranked = {}
        for key in keys:
            work, party, date = key
            distances = {w: i for i, w in enumerate(work.lineage)}
            ranked[key] = sorted(
                (a for a in candidates
                    if a.work in distances
                    and a.party == party
                    and a.is_active(date)),
                key=lambda a: (distances[a.work], *a._age))
        return ranked

    @classmethod
    def get_proposals(cls, keys):
        """
        Return for each tuple of project, party and date the advance to use

        It is the first of which something can be cancelled that is not yet
        taken.
        """
        ranked = cls.get_ranked(keys)
        advances = list(dict.fromkeys(chain(*ranked.values())))
        available = cls.get_available(advances)
        taken = cls._get_taken_amounts(advances)
        return {
            key: next((
                    a for a in advances
                    if available[a].amount > taken.get(a, 0)), None)
            for key, advances in ranked.items()}

    @classmethod
    def _get_taken_amounts(cls, advances):
        """
        Return by advance the amount that is taken before it is cancelled, if
        any
        """
        return {}

    @property
    def invoicing_key(self):
        "What Tryton's own invoicing of its project uses it for"
        return self.work, self.party, self.work.invoicing_date

    @property
    def _age(self):
        return (self.active_from or dt.date.min, self.id)

    def is_active(self, date):
        return (
            (self.active_from or dt.date.min)
            <= date
            <= (self.closed_date or dt.date.max))

    def get_misfit(self, work, party, date):
        """
        Return the message, and its variables, why it can not cover something
        of the project, the party and the date, None if it can
        """
        if self.type != 'on_account':
            return 'msg_advance_to_balance', {}
        if self.work not in work.lineage:
            return 'msg_advance_other_work', {
                'work': self.work.rec_name, 'other': work.rec_name}
        if party and self.party != party:
            return 'msg_advance_other_party', {
                'party': self.party.rec_name if self.party else '',
                'other': party.rec_name}
        if self.currency != work.company.currency:
            return 'msg_advance_other_currency', {
                'currency': self.currency.rec_name,
                'other': work.company.currency.rec_name}
        if date and self.closed_date and self.closed_date < date:
            return 'msg_advance_closed', {}

    def check_association(self, record, work, party, date):
        "Check it can cover the record of the project, the party and the date"
        if misfit := self.get_misfit(work, party, date):
            message, variables = misfit
            raise AdvanceAssociationError(gettext(
                    f'project_progress_invoice.{message}',
                    advance=self.rec_name, record=record.rec_name,
                    **variables))

    @classmethod
    def preprocess_values(cls, mode, values):
        pool = Pool()
        Work = pool.get('project.work')
        values = super().preprocess_values(mode, values)
        # Before the domains to explain it
        cls._check_time(values)
        if mode == 'create' and values.get('work'):
            work = Work(values['work'])
            values.setdefault('company', work.company.id)
            values.setdefault('currency', work.company.currency.id)
            cls.set_sale_values(values, ['work', 'company', 'currency'])
            cls()._set_opening_amount(values)
        return values

    @classmethod
    def _check_time(cls, values):
        "Check the unit and the unit of the product are a time"
        pool = Pool()
        ModelData = pool.get('ir.model.data')
        Product = pool.get('product.product')
        Uom = pool.get('product.uom')
        time = ModelData.get_id('product', 'uom_cat_time')
        unit = Uom(values['unit']) if values.get('unit') else None
        product = Product(values['product']) if values.get('product') else None
        for record, category in [
                (unit, unit and unit.category),
                (product, product and product.default_uom_category),
                ]:
            if record and category.id != time:
                raise AdvanceInvoiceError(gettext(
                        'project_progress_invoice.msg_advance_time',
                        record=record.rec_name))

    @classmethod
    def validate_fields(cls, advances, field_names):
        super().validate_fields(advances, field_names)
        for advance in advances:
            advance.check_advance(field_names)
        if field_names and field_names & {'opening_quantity', 'unit_price'}:
            # Both change what the opening is worth
            cls.check_residual(advances)

    def check_advance(self, field_names=None):
        def refuse(message, **variables):
            raise AdvanceInvoiceError(gettext(
                    f'project_progress_invoice.{message}',
                    advance=self.rec_name, **variables))

        if not field_names or field_names & {
                'line_type', 'product', 'description'}:
            if self.line_type == 'coded' and not self.product:
                refuse('msg_advance_product')
            if (self.line_type == 'uncoded'
                    and not (self.description or '').strip()):
                refuse('msg_advance_description', work=self.work.rec_name)
        opening = self.opening_quantity or 0
        for name, value, low in [
                ('quantity', self.quantity, not opening),
                ('unit_price', self.unit_price, True),
                ('opening_quantity', opening, False),
                ]:
            if (not self.is_amount(value) or value < 0
                    or (low and value == 0)):
                refuse('msg_advance_positive',
                    value=value, **self.__names__(field=name))
        if opening and self.type != 'on_account':
            refuse('msg_advance_opening')
        if (self.company != self.work.company
                or self.currency != self.work.company.currency):
            refuse('msg_advance_currency',
                currency=self.currency.rec_name,
                company=self.work.company.rec_name,
                expected=self.work.company.currency.rec_name)

    @classmethod
    def check_residual(cls, advances):
        """
        Check no more is cancelled or credited of the advances than what was
        billed and no more is given back than what was cancelled
        """
        for advance, figures in cls.get_figures(advances).items():
            if figures.available_amount < 0:
                raise AdvanceResidualError(gettext(
                        'project_progress_invoice.msg_advance_residual',
                        advance=advance.rec_name,
                        amount=advance.currency.round(
                            -figures.available_amount)))
            if figures.cancelled_amount < 0:
                raise AdvanceResidualError(gettext(
                        'project_progress_invoice.msg_advance_given_back',
                        advance=advance.rec_name,
                        amount=advance.currency.round(
                            -figures.cancelled_amount)))

    @classmethod
    def check_billed_once(cls, advances):
        for advance, lines in cls._get_billing_lines(advances).items():
            if len(lines) > 1:
                raise AdvanceInvoiceError(gettext(
                        'project_progress_invoice.msg_advance_billed_twice',
                        advance=advance.rec_name,
                        invoice=lines[0].invoice.rec_name,
                        other=lines[1].invoice.rec_name))

    @classmethod
    def check_modification(cls, mode, advances, values=None, external=False):
        pool = Pool()
        Line = pool.get('account.invoice.line')
        super().check_modification(
            mode, advances, values=values, external=external)
        if mode == 'write':
            if external:
                check_readable(cls, advances)
            for advance in advances:
                if (external and 'work' in values
                        and advance.work.id != values['work']):
                    raise AdvanceAccessError(gettext(
                            'project_progress_invoice.msg_advance_work',
                            advance=advance.rec_name))
            cls._check_billed_fields(advances, values)
        if mode == 'delete':
            ids = [a.id for a in advances]
            lines = Line.search(['OR',
                    ('advance_invoice', 'in', ids),
                    ('covered_by_advance', 'in', ids),
                    ('origin', 'in', [str(a) for a in advances]),
                    ], limit=1)
            for line in lines:
                cls._refuse_used(next(
                        a for a in [
                            line.advance_invoice, line.covered_by_advance,
                            line.origin]
                        if a in advances), lines)

    @classmethod
    def _check_billed_fields(cls, advances, values):
        "Check the values change nothing that is billed or cancelled"
        if values.keys() & cls._billed_fields:
            for advance, line in cls.get_billing_lines(advances).items():
                if line:
                    raise AdvanceAccessError(gettext(
                            'project_progress_invoice.msg_advance_billed',
                            advance=advance.rec_name,
                            invoice=line.invoice.rec_name))
        for advance in advances:
            opening = advance.opening_quantity or 0
            if ((values.get('opening_quantity', opening) or 0) != opening
                    or opening and values.keys() & cls._billed_fields):
                lines = [
                    l for l in advance.cancellation_lines
                    if l.invoice.state != 'cancelled']
                if lines:
                    cls._refuse_used(advance, lines)

    @classmethod
    def write(cls, *args):
        actions = []
        for advances, values in zip(args[::2], args[1::2]):
            if not values.keys() & {
                    'opening_quantity', 'opening_amount', 'unit_price'}:
                actions.extend((advances, values))
                continue
            for advance in advances:
                actions.extend(([advance], values.copy()))
                advance._set_opening_amount(actions[-1])
        super().write(*actions)

    def _set_opening_amount(self, values):
        "Set on the values to save what the opening is worth with them"
        pool = Pool()
        Currency = pool.get('currency.currency')

        def get(name):
            return values.get(name, getattr(self, name, None))

        currency = get('currency')
        if currency is not None:
            currency = Currency(int(currency))
        values['opening_amount'] = self.__class__(
            unit_price=get('unit_price'), currency=currency,
            ).get_value(get('opening_quantity'))

    @classmethod
    def _refuse_used(cls, advance, lines):
        raise AdvanceAccessError(gettext(
                'project_progress_invoice.msg_advance_used',
                advance=advance.rec_name,
                invoice=lines[0].invoice.rec_name))

    @classmethod
    def copy(cls, advances, default=None):
        default = default.copy() if default is not None else {}
        # What was only sold outside of Tryton is still a quantity to sell
        default.setdefault(
            'quantity', lambda data: (
                data['quantity'] or data['opening_quantity']))
        default.setdefault('opening_quantity')
        default.setdefault('residual_date')
        default.setdefault('invoice_lines')
        default.setdefault('cancellation_lines')
        return super().copy(advances, default=default)

    @classmethod
    @ModelView.button
    def update_residual(cls, advances):
        pool = Pool()
        Date = pool.get('ir.date')
        lock_together(advances)
        companies = defaultdict(list)
        for advance in advances:
            companies[advance.company].append(advance)
        for company, sub_advances in companies.items():
            with Transaction().set_context(company=company.id):
                today = Date.today()
            cls.check_residual(sub_advances)
            cls.write(sub_advances, {'residual_date': today})

    @classmethod
    @ModelView.button_action(
        'project_progress_invoice.wizard_advance_invoice_valorize')
    def valorize(cls, advances):
        pool = Pool()
        Invoice = pool.get('account.invoice')
        to_cancel = cls.search([
                ('work', 'in', list({
                            a.work.id for a in advances
                            if a.type == 'to_balance'})),
                ('type', '=', 'on_account'),
                ])
        lock_together({*advances, *to_cancel})
        lines = cls.get_billing_lines(advances)
        available = cls.get_available(to_cancel)
        Invoice.save([
                a._get_invoice(available) for a in advances if not lines[a]])

    @classmethod
    @ModelView.button_action(
        'project_progress_invoice.wizard_advance_invoice_show')
    def refund_residual(cls, advances):
        "Make the credit note of what is left of each advance"
        cls._settle(advances, '_get_refund')

    @classmethod
    @ModelView.button_action(
        'project_progress_invoice.wizard_advance_invoice_show')
    def close_residual(cls, advances):
        "Make the invoice that bills as revenue what is left of each advance"
        cls._settle(advances, '_get_closing')

    @classmethod
    def _settle(cls, advances, get_invoice):
        pool = Pool()
        Invoice = pool.get('account.invoice')
        lock_together(advances)
        available = cls.get_available(advances)
        cls.check_settle(available)
        Invoice.save([
                getattr(a, get_invoice)(available[a]) for a in advances])

    @classmethod
    def check_settle(cls, available):
        """
        Check something is left of the Available advances that no open
        document is about to change
        """
        pool = Pool()
        Line = pool.get('account.invoice.line')
        for line in Line.search([
                    ('advance_invoice', 'in', [a.id for a in available]),
                    ('invoice.state', 'in', OPEN),
                    ], limit=1):
            raise AdvanceResidualError(gettext(
                    'project_progress_invoice.msg_settle_open',
                    advance=line.advance_invoice.rec_name,
                    invoice=line.invoice.rec_name))
        for advance in available:
            if available[advance].figures.residual_amount <= 0:
                raise AdvanceResidualError(gettext(
                        'project_progress_invoice.msg_settle_nothing',
                        advance=advance.rec_name))

    def _get_refund(self, available):
        "Return the credit note of what is left"
        pool = Pool()
        Line = pool.get('account.invoice.line')
        left = available.figures.residual_amount
        if billed := available.billed:
            invoice = billed.invoice._credit()
            lines = Line.get_credit_rest(
                [l for l in invoice.lines if l.advance_invoice == self])
            left += sum(l.on_change_with_amount() for l in lines)
        else:
            invoice = self.work.get_project_invoice(self.party)
            lines = []
        if left:
            # What was billed outside of Tryton
            lines.append(self.get_invoice_line(
                    self.deposit_account,
                    quantity=-self.compute_quantity(
                        left, self.unit_price, self.currency),
                    origin=self,
                    advance_invoice=self))
        invoice.lines = lines
        return invoice

    def _get_closing(self, available):
        "Return the invoice of what is left, to pay nothing"
        billed = available.billed
        amount = available.amount
        if not amount:
            raise AdvanceResidualError(gettext(
                    'project_progress_invoice.msg_settle_unpaid',
                    advance=self.rec_name,
                    invoice=billed.invoice.rec_name))
        line = self.get_invoice_line(
            self.revenue_account,
            quantity=self.compute_quantity(
                amount, self.unit_price, self.currency),
            origin=billed,
            covered_by_advance=self)
        if billed:
            line.taxes_date = billed.tax_date
        invoice = self.work.get_project_invoice(self.party)
        invoice.lines = [line, *self.get_cancellation_lines(
                {self: amount}, {self: available})]
        return invoice

    @classmethod
    def get_billing_invoices(cls, advances):
        "Return the invoices that bill the advances"
        lines = cls.get_billing_lines(advances)
        return list(dict.fromkeys(l.invoice for l in lines.values() if l))

    def _get_invoice(self, available):
        "Return the invoice that bills it and cancels what is available"
        if not self.quantity:
            raise AdvanceInvoiceError(gettext(
                    'project_progress_invoice.msg_advance_only_opening',
                    advance=self.rec_name))
        if not self.party:
            raise AdvanceSetupError(gettext(
                    'project_progress_invoice.msg_advance_party',
                    advance=self.rec_name,
                    work=self.work.rec_name))
        if not self.work.project_type_used:
            self._refuse_project_type()
        invoice = self.work.get_project_invoice(self.party)
        line = self._get_billing_line()
        invoice.lines = [line]
        if self.type == 'to_balance':
            amount = line.on_change_with_amount()
            advances = tuple(
                a for a in sorted(available, key=lambda a: a._age)
                if a.work == self.work and a.party == self.party)
            amounts = self.allocate([(amount, advances)], available)
            invoice.lines = [
                line, *self.get_cancellation_lines(amounts, available)]
        return invoice

    def _refuse_project_type(self):
        raise AdvanceSetupError(gettext(
                'project_progress_invoice.msg_project_type_missing',
                work=self.work.rec_name))

    def _get_billing_line(self):
        if self.type == 'on_account':
            return self.get_invoice_line(
                self.deposit_account, origin=self, advance_invoice=self)
        else:
            return self.get_invoice_line(
                self.revenue_account, origin=self, covered_by_advance=self)

    @property
    def deposit_accounts(self):
        "The accounts on which it is or would be billed"
        type_ = self.work.project_type_used
        accounts = {l.account for l in self.invoice_lines}
        if type_:
            accounts.add(type_.get_multivalue(
                    'advance_account', company=self.company.id))
        return accounts

    @property
    def deposit_account(self):
        "The account on which it is to bill"
        type_ = self.work.project_type_used
        if not type_:
            self._refuse_project_type()
        account = type_.get_multivalue(
            'advance_account', company=self.company.id)
        if not account:
            raise AdvanceSetupError(gettext(
                    'project_progress_invoice.msg_deposit_account_missing',
                    work=self.work.rec_name,
                    type=type_.rec_name,
                    company=self.company.rec_name))
        return account

    @classmethod
    def get_available(cls, advances):
        """
        Return for each advance what is Available of it

        The advances must be locked to use it.
        """
        figures = cls.get_figures(advances)
        lines = cls.get_billing_lines(advances)
        available = {}
        for advance in advances:
            line, amount = lines[advance], figures[advance].available_amount
            type_ = advance.work.project_type_used
            if (type_ and type_.consume == 'paid'
                    and line and line.invoice.state != 'paid'):
                # What is not yet live or is credited is not in the residual
                opening = advance.opening_amount or Decimal(0)
                unpaid = figures[advance].billed_amount - opening
                amount = min(amount, figures[advance].residual_amount - unpaid)
            available[advance] = Available(
                advance, max(amount, Decimal(0)), line, figures[advance])
        return available

    @staticmethod
    def allocate(covered, available, limit=None):
        """
        Return by advance the amount to cancel, and take it from what is
        Available of the advances

        covered is a list of tuples of the value of what is covered together
        and the advances that cover it, in this order.  First each value uses
        its own advance, then what is not covered goes on to the next ones.
        No more than the limit is cancelled, if there is one.
        """
        values, amounts = defaultdict(Decimal), defaultdict(Decimal)
        for value, advances in covered:
            values[advances] += value
        left = sum(values.values()) if limit is None else limit
        for rank in range(max(map(len, values), default=0)):
            for advances in values:
                if rank >= len(advances):
                    continue
                advance = advances[rank]
                amount = min(
                    values[advances], available[advance].amount, left)
                if amount > 0:
                    amounts[advance] += amount
                    available[advance].amount -= amount
                    values[advances] -= amount
                    left -= amount
        return amounts

    @classmethod
    def get_cancellation_lines(cls, amounts, available):
        "Return the invoice lines that cancel the amount of each advance"
        return [
            advance._get_cancellation_line(amount, available[advance])
            for advance, amount in amounts.items()]

    def _get_cancellation_line(self, amount, available):
        """
        Return the line that cancels the amount

        It has the values of the line that billed the advance, if any.
        """
        pool = Pool()
        Line = pool.get('account.invoice.line')
        billed = available.billed
        cancelled = billed or self
        type_ = self.work.project_type_used
        return Line(
            invoice_type='out',
            type='line',
            company=self.company,
            currency=self.currency,
            origin=cancelled,
            advance_invoice=self,
            advance_cancellation=True,
            product=type_.cancellation_product if type_ else None,
            description=available.description,
            quantity=-self.compute_quantity(
                amount, cancelled.unit_price, self.currency),
            unit=cancelled.unit,
            unit_price=cancelled.unit_price,
            account=billed.account if billed else self.deposit_account,
            taxes=cancelled.taxes,
            taxes_date=billed.tax_date if billed else None)

    def get_cancellation_description(self, billed=None):
        "Return the description in the language of the party"
        pool = Pool()
        Type = pool.get('project.type')
        type_ = self.work.project_type_used
        lang = self.party.lang if self.party else None
        with Transaction().set_context(language=lang.code if lang else None):
            if type_ and (
                    description := Type(type_.id).cancellation_description):
                return description
            message = 'msg_cancellation_description'
            if billed:
                message += '_invoice'
            return gettext(
                f'project_progress_invoice.{message}',
                advance=self.__class__(self.id).rec_name,
                invoice=billed.invoice.rec_name if billed else None)


class AdvanceInvoiceTax(ModelSQL):
    __name__ = 'project.advance_invoice-account.tax'

    advance_invoice = fields.Many2One(
        'project.advance_invoice', "Advance Invoice",
        ondelete='CASCADE', required=True)
    tax = fields.Many2One(
        'account.tax', "Tax", ondelete='RESTRICT', required=True,
        domain=[
            ('parent', '=', None),
            ])
