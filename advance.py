# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
import datetime as dt
import math
from collections import defaultdict, namedtuple
from decimal import Decimal

from sql import Null
from sql.aggregate import Sum
from sql.conditionals import Case, Coalesce
from sql.functions import Floor, Mod, Round

from trytond import backend
from trytond.i18n import gettext
from trytond.model import (
    ModelSQL, ModelView, fields, sequence_ordered)
from trytond.modules.currency.fields import Monetary
from trytond.modules.product import price_digits
from trytond.pool import Pool
from trytond.pyson import Bool, Date, Eval, Id, If
from trytond.tools import firstline, grouped_slice, sqlite_apply_types
from trytond.transaction import (
    Transaction, check_access, without_check_access)
from trytond.wizard import (
    Button, StateAction, StateTransition, StateView, Wizard)

from .common import (
    LIMIT, OPEN, SLICE, ReadonlyMixin, editable, get_boolean_domain,
    lock_together, to_quantity)
from .exceptions import (
    AdvanceAccessError, AdvanceAssociationError, AdvanceInvoiceError,
    AdvanceResidualError, AdvanceSetupError)
from .pricing import SalePriceMixin


class AdvanceFigures(namedtuple('AdvanceFigures', [
                'billed_amount', 'cancelled_amount', 'credited_amount'])):
    """
    What was billed and cancelled of an advance, in its currency

    Billed is what live documents and the opening billed less what live credit
    notes credited, cancelled what live and open documents cancelled and
    credited what open credit notes are about to credit of what was billed.
    """
    __slots__ = ()

    @property
    def residual_amount(self):
        return self.billed_amount - self.cancelled_amount

    @property
    def available_amount(self):
        return self.residual_amount - self.credited_amount


class AdvanceInvoice(
        ReadonlyMixin, SalePriceMixin, sequence_ordered(),
        ModelSQL, ModelView):
    __name__ = 'project.advance_invoice'
    _readonly_fields = {'residual_date'}

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
    description = fields.Text("Description")
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
    quantity = fields.Float(
        "Quantity", digits='unit', required=True,
        states=editable(~Eval('billed', False)))
    unit_price = Monetary(
        "Unit Price", currency='currency', digits=price_digits, required=True,
        states=editable(~Eval('billed', False)))
    amount = fields.Function(
        Monetary("Amount", currency='currency', digits='currency'),
        'on_change_with_amount')
    opening_quantity = fields.Float(
        "Opening Quantity", digits='unit', states=_on_account,
        help="The quantity billed outside of Tryton that is not yet "
        "cancelled.")
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
        cls._buttons.update({
                'valorize': {},
                'update_residual': {
                    'invisible': Eval('type') != 'on_account',
                    'depends': ['type'],
                    },
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

    @fields.depends(
        'line_type', 'product', 'unit', 'quantity', 'unit_price', 'company',
        'currency', methods=['on_change_with_party'])
    def _get_sale_line(self):
        "Return the line that would sell it, to have its price and taxes"
        pool = Pool()
        Sale = pool.get('sale.sale')
        return Sale.get_pricing_line(
            self.company, self.on_change_with_party(), self.currency,
            product=self.product, unit=self.unit, quantity=self.quantity,
            unit_price=self.unit_price)

    @fields.depends('quantity', 'unit_price', 'currency')
    def on_change_with_amount(self, name=None):
        return self.get_value(self.quantity)

    @fields.depends('unit_price', 'currency')
    def get_value(self, quantity):
        "Return the amount of the quantity"
        if not math.isfinite(quantity or 0):
            # It is refused when saved
            quantity = 0
        amount = to_quantity(quantity) * (self.unit_price or Decimal(0))
        return self.currency.round(amount) if self.currency else amount

    @property
    def revenue_account(self):
        if self.product and not self.product.account_category:
            return self._default_revenue_account
        return super().revenue_account

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
            ]

    def get_rec_name(self, name):
        if self.product and not self.description:
            name = self.product.rec_name
        else:
            name = firstline(self.description or '')
        return f'{name} @ {self.work.rec_name}'

    @classmethod
    def search_rec_name(cls, name, clause):
        _, operator, value = clause
        if operator.startswith('!') or operator.startswith('not '):
            bool_op = 'AND'
        else:
            bool_op = 'OR'
        return [bool_op,
            ('description', *clause[1:]),
            ('product.rec_name', *clause[1:]),
            ('work.rec_name', *clause[1:]),
            ]

    @classmethod
    def _is_counted(cls, line, invoice):
        "Return the SQL expression to test that a line counts in the residual"
        pool = Pool()
        Invoice = pool.get('account.invoice')
        # What cancels counts at once, what is given back only once posted
        return Invoice._live(invoice) | (
            Coalesce(line.advance_cancellation, False)
            & invoice.state.in_(OPEN) & (line.quantity < 0))

    @classmethod
    def _get_lines_figures(cls, advances=None):
        """
        Return the query of the sums of the lines by advance, with the columns
        of AdvanceFigures and the quantity that is left
        """
        pool = Pool()
        Invoice = pool.get('account.invoice')
        Line = pool.get('account.invoice.line')
        line = Line.__table__()
        invoice = Invoice.__table__()
        counted = cls._is_counted(line, invoice)
        cancellation = Coalesce(line.advance_cancellation, False)
        credited = (
            invoice.state.in_(OPEN) & ~cancellation & (line.quantity < 0))

        def sum_(condition, value):
            return Sum(Case((condition, value), else_=0))

        where = line.advance_invoice != Null
        if advances is not None:
            where = fields.SQL_OPERATORS['in'](
                line.advance_invoice, [a.id for a in advances])
        return (line
            .join(invoice, condition=line.invoice == invoice.id)
            .select(
                line.advance_invoice.as_('advance'),
                sum_(~cancellation & counted, line.advance_amount)
                .as_('billed_amount'),
                sum_(cancellation & counted, -line.advance_amount)
                .as_('cancelled_amount'),
                sum_(credited, -line.advance_amount).as_('credited_amount'),
                sum_(counted, line.quantity).as_('quantity'),
                where=where,
                group_by=line.advance_invoice))

    @classmethod
    def get_figures(cls, advances):
        "Return the AdvanceFigures of each advance, by one query"
        cursor = Transaction().connection.cursor()
        sums = {}
        for sub_advances in grouped_slice(advances, SLICE):
            query = cls._get_lines_figures(list(sub_advances))
            if backend.name == 'sqlite':
                sqlite_apply_types(
                    query, [None] + ['NUMERIC'] * 3 + [None])
            cursor.execute(*query)
            sums.update((id_, amounts) for id_, *amounts, _ in cursor)
        figures = {}
        for advance in advances:
            billed, cancelled, credited = sums.get(
                advance.id, [Decimal(0)] * 3)
            round_ = advance.currency.round
            figures[advance] = AdvanceFigures(
                round_(billed + advance.get_value(advance.opening_quantity)),
                round_(cancelled),
                round_(credited))
        return figures

    @classmethod
    def _get_residuals(cls):
        """
        Return the table of the advances, this table joined with the sums of
        their lines and the expressions of the residual quantity and amount by
        name
        """
        pool = Pool()
        Currency = pool.get('currency.currency')
        table = cls.__table__()
        currency = Currency.__table__()
        lines = cls._get_lines_figures()
        type_name = cls.residual_amount._field.sql_type().base

        opening = Coalesce(table.opening_quantity, 0)
        # The currency rounds the halves to even
        units = Round(
            (opening * Coalesce(table.unit_price, 0)).cast(type_name)
            / currency.rounding,
            6)
        floor = Floor(units)
        twice = (units - floor) * 2
        units = floor + Case(
            ((twice > 1) | ((twice == 1) & (Mod(floor, 2) == 1)), 1), else_=0)
        amount = (
            Round(units * currency.rounding, currency.digits)
            + Round(Coalesce(lines.billed_amount - lines.cancelled_amount, 0)
                .cast(type_name), currency.digits))
        # SQLite uses float for sum
        amount = Round(amount, currency.digits).cast(type_name)
        quantity = opening + Coalesce(lines.quantity, 0)
        tables = (table
            .join(currency, condition=table.currency == currency.id)
            .join(lines, 'LEFT', condition=lines.advance == table.id))
        return table, tables, {
            # The value rules
            'residual_quantity': Case(
                (amount == 0, 0),
                else_=Round(quantity.cast(type_name), 10)),
            'residual_amount': amount,
            }

    @classmethod
    def get_residuals(cls, advances, names):
        pool = Pool()
        Currency = pool.get('currency.currency')
        Invoice = pool.get('account.invoice')
        Line = pool.get('account.invoice.line')
        cursor = Transaction().connection.cursor()
        table = cls.__table__()
        currency = Currency.__table__()
        line = Line.__table__()
        invoice = Invoice.__table__()
        counted = invoice.id != Null
        query = (table
            .join(currency, condition=table.currency == currency.id)
            .join(line, 'LEFT', condition=line.advance_invoice == table.id)
            .join(invoice, 'LEFT',
                condition=(line.invoice == invoice.id)
                & cls._is_counted(line, invoice))
            .select(
                table.id, currency.digits, table.opening_quantity,
                Sum(Case((counted, line.quantity), else_=0.)),
                Sum(Case((counted, line.advance_amount), else_=0))
                .as_('amount'),
                where=fields.SQL_OPERATORS['in'](
                    table.id, [a.id for a in advances]),
                group_by=[table.id, currency.digits, table.opening_quantity]))
        if backend.name == 'sqlite':
            sqlite_apply_types(query, [None] * 4 + ['NUMERIC'])
        cursor.execute(*query)
        rows = cursor.fetchall()
        openings = {
            a.id: a.get_value(a.opening_quantity) for a in cls.browse(
                [id_ for id_, _, opening, _, _ in rows if opening])}
        quantities, amounts = {}, {}
        for id_, digits, opening, quantity, amount in rows:
            # SQLite uses float for sum and would leave -0
            amount = round(amount, digits) + 0
            if opening:
                amount += openings[id_]
                quantity += opening
            amounts[id_] = amount
            # The value rules
            quantities[id_] = round(quantity, 10) if amount else 0.
        figures = {
            'residual_quantity': quantities,
            'residual_amount': amounts,
            }
        return {n: figures[n] for n in names}

    @classmethod
    def search_residual(cls, name, clause):
        _, operator, value = clause
        Operator = fields.SQL_OPERATORS[operator]
        table, tables, residuals = cls._get_residuals()
        if isinstance(value, (list, tuple, set)):
            value = [float(v) if v is not None else None for v in value]
        elif value is not None:
            value = float(value)
        return [('id', 'in', tables.select(
                    table.id, where=Operator(residuals[name], value)))]

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
        invoiced = [('invoice.state', 'in', OPEN + ['posted', 'paid'])]
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
    def get_candidates(cls, keys):
        """
        Return the advances on account that could cover the keys

        Each key is a tuple of project, party and date.
        """
        works = {w.id for work, *_ in keys for w in work.lineage}
        return cls.search([
                ('work', 'in', list(works)),
                ('type', '=', 'on_account'),
                ], order=[('id', 'ASC')])

    @classmethod
    def get_proposals(cls, keys):
        """
        Return for each tuple of project, party and date the advance to use

        It is active at the date, has a residual and is the one of the
        nearest project, then the oldest.
        """
        keys = set(keys)
        candidates = cls.get_candidates(keys)
        figures = cls.get_figures(candidates)
        candidates = [
            a for a in candidates if figures[a].residual_amount > 0]
        proposals = {}
        for key in keys:
            work, party, date = key
            distances = {w: i for i, w in enumerate(work.lineage)}
            proposals[key] = min(
                (a for a in candidates
                    if a.work in distances
                    and a.party == party
                    and a.is_active(date)),
                key=lambda a: (distances[a.work], *a._age),
                default=None)
        return proposals

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
            # A client sends all what has a default and what on_change
            # computed, but not the taxes if there are none
            client = {
                'company', 'currency', 'line_type', 'type', 'unit',
                'unit_price'} <= values.keys()
            values.setdefault('company', work.company.id)
            values.setdefault('currency', work.company.currency.id)
            if not client:
                cls.set_sale_values(values, ['work', 'company', 'currency'])
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
            if (value is None or not 0 <= value < LIMIT  # False for NaN
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
                        amount=-figures.available_amount))
            if figures.cancelled_amount < 0:
                raise AdvanceResidualError(gettext(
                        'project_progress_invoice.msg_advance_given_back',
                        advance=advance.rec_name,
                        amount=-figures.cancelled_amount))

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
        if mode == 'write' and external and 'work' in values:
            for advance in advances:
                if advance.work.id != values['work']:
                    raise AdvanceAccessError(gettext(
                            'project_progress_invoice.msg_advance_work',
                            advance=advance.rec_name))
        if mode == 'write' and values.keys() & cls._billed_fields:
            with without_check_access():
                lines = cls.get_billing_lines(advances)
            for advance, line in lines.items():
                if line:
                    raise AdvanceAccessError(gettext(
                            'project_progress_invoice.msg_advance_billed',
                            advance=advance.rec_name,
                            invoice=line.invoice.rec_name))
            for advance in advances:
                if advance.opening_quantity and advance.cancellation_lines:
                    cls._refuse_used(advance, advance.cancellation_lines)
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
        invoices = []
        for advance in advances:
            if not lines[advance]:
                invoices.append(advance._get_invoice(available))
        Invoice.save(invoices)

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
        line = self._get_invoice_line()
        invoice.lines = [line]
        if self.type == 'to_balance':
            amount = line.on_change_with_amount()
            lines, _ = self.cancel({
                    a: amount for a in sorted(available, key=lambda a: a._age)
                    if a.work == self.work and a.party == self.party
                    }, available, amount)
            invoice.lines = [*invoice.lines, *lines]
        return invoice

    def _refuse_project_type(self):
        raise AdvanceSetupError(gettext(
                'project_progress_invoice.msg_project_type_missing',
                work=self.work.rec_name))

    def _get_invoice_line(self):
        pool = Pool()
        Line = pool.get('account.invoice.line')
        if self.type == 'on_account':
            account = self.deposit_account
        else:
            account = self.revenue_account
        if not account:
            raise AdvanceSetupError(gettext(
                    'project_progress_invoice.msg_revenue_account_missing',
                    record=self.rec_name))
        return Line(
            invoice_type='out',
            type='line',
            company=self.company,
            currency=self.currency,
            origin=self,
            advance_invoice=self if self.type == 'on_account' else None,
            covered_by_advance=self if self.type == 'to_balance' else None,
            product=self.product,
            description=self.description,
            quantity=self.quantity,
            unit=self.unit,
            unit_price=self.unit_price,
            account=account,
            taxes=self.taxes)

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
        Return for each advance the amount that can be cancelled, the line
        that bills it and, once it was cancelled, the description for that

        The advances must be locked.
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
                opening = advance.get_value(advance.opening_quantity)
                unpaid = figures[advance].billed_amount - opening
                amount = min(amount, figures[advance].residual_amount - unpaid)
            available[advance] = (max(amount, Decimal(0)), line, None)
        return available

    @classmethod
    def cancel(cls, amounts, available, value):
        """
        Return the lines that cancel as much of the amount of each advance as
        is available and what they leave of the value of the invoice

        What they cancel is taken from what is available.
        """
        lines = []
        for advance, amount in amounts.items():
            left, billed, description = available[advance]
            # The other lines of the invoice may have a discount
            amount = min(amount, left, value)
            if amount <= 0:
                continue
            if description is None:
                description = advance._get_cancellation_description(billed)
            lines.append(advance._get_cancellation_line(
                    amount, description, billed))
            available[advance] = (left - amount, billed, description)
            value -= amount
        return lines, value

    def _get_cancellation_line(self, amount, description, billed=None):
        """
        Return the line that cancels the amount

        It has the values of the line that billed the advance, if any.
        """
        pool = Pool()
        Line = pool.get('account.invoice.line')
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
            description=description,
            quantity=-self.compute_quantity(
                amount, cancelled.unit_price, self.currency),
            unit=cancelled.unit,
            unit_price=cancelled.unit_price,
            account=billed.account if billed else self.deposit_account,
            taxes=cancelled.taxes,
            taxes_date=billed.tax_date if billed else None)

    def _get_cancellation_description(self, billed=None):
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


class ValorizeMixin:
    "Make the invoices of the records at once then show them"
    __slots__ = ()
    start_state = 'valorize'

    valorize = StateTransition()
    show = StateView(
        'project.advance_invoice.valorize.show',
        'project_progress_invoice.advance_invoice_valorize_show_view_form', [
            Button("Close", 'end', 'tryton-close'),
            Button("Open", 'open_', 'tryton-open', default=True),
            ])
    open_ = StateAction('account_invoice.act_invoice_form')

    def transition_valorize(self):
        # The access to the wizard is not the one to the button
        with check_access():
            self.model.valorize(self.records)
        return 'show'

    def default_show(self, fields):
        pool = Pool()
        ModelAccess = pool.get('ir.model.access')
        access = ModelAccess.get_access(['account.invoice'])
        if not access['account.invoice']['read']:
            return {}
        return {
            'invoices': [
                i.id for i in self.model.get_billing_invoices(self.records)],
            }

    def do_open_(self, action):
        invoices = self.model.get_billing_invoices(self.records)
        if len(invoices) == 1:
            action['views'].reverse()
        return action, {'res_id': [i.id for i in invoices]}


class ValorizeAdvance(ValorizeMixin, Wizard):
    __name__ = 'project.advance_invoice.valorize'


class ValorizeShow(ModelView):
    __name__ = 'project.advance_invoice.valorize.show'

    invoices = fields.Many2Many(
        'account.invoice', None, None, "Invoices", readonly=True)
