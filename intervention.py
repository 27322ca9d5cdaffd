# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
from collections import defaultdict
from decimal import Decimal
from itertools import chain, groupby

from sql import Null
from sql.aggregate import Sum
from sql.conditionals import Case
from sql.functions import CharLength
from trytond import backend
from trytond.i18n import gettext
from trytond.model import (
    Index, ModelSQL, ModelView, Workflow, fields, sequence_ordered)
from trytond.modules.currency.fields import Monetary
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Date, Eval, If
from trytond.tools import firstline, grouped_slice, sqlite_apply_types
from trytond.transaction import Transaction, without_check_access

from .common import (
    OPEN, SLICE, ReadonlyMixin, check_readable, editable, lock_together)
from .exceptions import (
    InterventionAccessError, InterventionError, InterventionValidationError)
from .pricing import PricingMixin

# The lines of invoices from which these are saved: what Tryton reads for each
# line grows with those that are saved at once
BATCH = 200


class InterventionMixin(ReadonlyMixin, Workflow, ModelSQL, ModelView):
    "What requests and interventions have in common"
    __slots__ = ()
    _rec_name = 'number'
    _order_name = 'number'
    _readonly_fields = {'number', 'state'}

    number = fields.Char("Number", readonly=True)
    company = fields.Many2One(
        'company.company', "Company", required=True,
        states=editable(~Eval('work', None)))
    work = fields.Many2One(
        'project.work', "Project", required=True, ondelete='RESTRICT',
        domain=[
            ('type', '=', 'project'),
            ('company', '=', Eval('company', -1)),
            ])
    party = fields.Many2One(
        'party.party', "Party", ondelete='RESTRICT',
        context={
            'company': Eval('company', -1),
            },
        depends={'company'})
    date = fields.Date("Date", required=True)
    description = fields.Text("Description")
    advance_invoice = fields.Many2One(
        'project.advance_invoice', "Advance Invoice", ondelete='RESTRICT',
        domain=[
            ('type', '=', 'on_account'),
            ('company', '=', Eval('company', -1)),
            ])

    @classmethod
    def __setup__(cls):
        cls.number.search_unaccented = False
        super().__setup__()
        table = cls.__table__()
        cls._order = [('date', 'DESC'), ('id', 'DESC')]
        cls._sql_indexes.update({
                Index(table, (table.work, Index.Range())),
                Index(table, (table.date, Index.Range())),
                })

    @classmethod
    def order_number(cls, tables):
        table, _ = tables[None]
        return [table.number != Null, CharLength(table.number), table.number]

    @classmethod
    def default_company(cls):
        return Transaction().context.get('company')

    @classmethod
    def default_date(cls):
        pool = Pool()
        Date = pool.get('ir.date')
        return Date.today()

    @fields.depends(
        'work', 'company', 'party', '_parent_work.company',
        '_parent_work.party', '_parent_work.parent')
    def on_change_work(self):
        if self.work:
            self.company = self.work.company
            self.party = self.work.party_used

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual',
                If(Eval('state') == 'cancelled', 'muted',
                    If(Eval('state').in_(['open', 'planned'])
                        & (Eval('date', Date()) < Date()),
                        'warning', '')),
                ['state', 'date']),
            ]

    def get_rec_name(self, name):
        items = [self.number or f'({self.id})']
        if description := firstline(self.description or ''):
            items.append(description)
        return ' - '.join(items)

    @classmethod
    def search_rec_name(cls, name, clause):
        _, operator, value = clause
        if operator.startswith('!') or operator.startswith('not '):
            bool_op = 'AND'
        else:
            bool_op = 'OR'
        return [bool_op,
            ('number', *clause[1:]),
            ('description', *clause[1:]),
            ]

    @classmethod
    def preprocess_values(cls, mode, values):
        pool = Pool()
        Configuration = pool.get('project.configuration')
        Work = pool.get('project.work')
        values = super().preprocess_values(mode, values)
        if mode == 'create':
            if not values.get('number'):
                sequence = Configuration(1).get_multivalue(
                    cls._sequence_name)
                if sequence:
                    values['number'] = sequence.get()
            if values.get('work'):
                work = Work(values['work'])
                party = work.party_used
                values.setdefault('company', work.company.id)
                values.setdefault('party', party.id if party else None)
        return values

    @classmethod
    def check_modification(cls, mode, records, values=None, external=False):
        super().check_modification(
            mode, records, values=values, external=external)
        if mode != 'create' and external:
            check_readable(cls, records)

    @classmethod
    def validate_fields(cls, records, field_names):
        super().validate_fields(records, field_names)
        if not field_names or field_names & {
                'work', 'party', 'date', 'advance_invoice'}:
            for record in records:
                record.check_advances()

    def check_advances(self):
        "Check the advances can be used at the date for the party"
        if self.advance_invoice:
            self.advance_invoice.check_association(
                self, self.work, self.party, self.date)

    @classmethod
    def copy(cls, records, default=None):
        default = default.copy() if default is not None else {}
        default.setdefault('number')
        return super().copy(records, default=default)


class InterventionRequest(InterventionMixin):
    __name__ = 'project.intervention.request'
    _sequence_name = 'intervention_request_sequence'

    interventions = fields.One2Many(
        'project.intervention', 'request', "Interventions",
        domain=[
            ('work', '=', Eval('work', -1)),
            ])
    state = fields.Selection([
            ('open', "Open"),
            ('planned', "Planned"),
            ('closed', "Closed"),
            ('cancelled', "Cancelled"),
            ], "State", readonly=True, sort=False)
    state_string = state.translated('state')

    # The fields that can not change once it is closed
    _closed_fields = {
        'company', 'work', 'party', 'date', 'description', 'advance_invoice'}

    @classmethod
    def __setup__(cls):
        super().__setup__()
        opened = Eval('state').in_(['open', 'planned'])
        for name in ['party', 'date', 'description', 'advance_invoice']:
            getattr(cls, name).states.update(editable(opened))
        cls.work.states.update(editable(
                (Eval('state') == 'open') & ~Eval('interventions', [])))
        cls.advance_invoice.help = (
            "The advance to cover all the new lines of the interventions.")
        cls._transitions |= {
            ('open', 'planned'),
            ('open', 'closed'),
            ('open', 'cancelled'),
            ('planned', 'open'),
            ('planned', 'closed'),
            ('planned', 'cancelled'),
            ('closed', 'open'),
            ('cancelled', 'open'),
            }
        cls._buttons.update({
                'open': {
                    'invisible': Eval('state') == 'open',
                    'icon': 'tryton-back',
                    'depends': ['state'],
                    },
                'plan': {
                    'invisible': Eval('state') != 'open',
                    'depends': ['state'],
                    },
                'close': {
                    'invisible': ~opened,
                    'depends': ['state'],
                    },
                'cancel': {
                    'invisible': ~opened,
                    'depends': ['state'],
                    },
                })

    @classmethod
    def default_state(cls):
        return 'open'

    @classmethod
    @ModelView.button
    @Workflow.transition('open')
    def open(cls, requests):
        pass

    @classmethod
    @ModelView.button
    @Workflow.transition('planned')
    def plan(cls, requests):
        pool = Pool()
        Intervention = pool.get('project.intervention')
        lock_together(requests)
        Intervention.save([
                r._get_intervention() for r in requests
                if not any(
                    i.state != 'cancelled' for i in r.interventions)])

    def _get_intervention(self):
        pool = Pool()
        Intervention = pool.get('project.intervention')
        return Intervention(
            request=self,
            company=self.company,
            work=self.work,
            party=self.party,
            date=self.date,
            description=self.description,
            advance_invoice=self.advance_invoice)

    @classmethod
    @ModelView.button
    @Workflow.transition('closed')
    def close(cls, requests):
        cls._check_interventions(requests, {'planned'})

    @classmethod
    @ModelView.button
    @Workflow.transition('cancelled')
    def cancel(cls, requests):
        pool = Pool()
        Intervention = pool.get('project.intervention')
        cls._check_interventions(requests, {'done', 'invoiced'})
        Intervention.cancel([
                i for r in requests for i in r.interventions
                if i.state == 'planned'])

    @classmethod
    def _check_interventions(cls, requests, states):
        for request in requests:
            for intervention in request.interventions:
                if intervention.state in states:
                    raise InterventionError(gettext(
                            'project_progress_invoice'
                            '.msg_request_intervention',
                            request=request.rec_name,
                            intervention=intervention.rec_name,
                            state=intervention.state_string))

    @classmethod
    def check_modification(cls, mode, requests, values=None, external=False):
        super().check_modification(
            mode, requests, values=values, external=external)
        if mode == 'delete' or (mode == 'write' and 'work' in values):
            for request in requests:
                for intervention in request.interventions:
                    raise InterventionAccessError(gettext(
                            'project_progress_invoice.msg_request_used',
                            request=request.rec_name,
                            intervention=intervention.rec_name))
        if mode == 'write' and values.keys() & cls._closed_fields:
            for request in requests:
                request.check_opened()

    @property
    def is_opened(self):
        return self.state in {'open', 'planned'}

    def check_opened(self):
        "Check it and its interventions can still change"
        if not self.is_opened:
            raise InterventionAccessError(gettext(
                    'project_progress_invoice.msg_request_opened',
                    request=self.rec_name,
                    state=self.state_string))

    @classmethod
    def copy(cls, requests, default=None):
        default = default.copy() if default is not None else {}
        default.setdefault('interventions')
        return super().copy(requests, default=default)


class Intervention(InterventionMixin):
    __name__ = 'project.intervention'
    _sequence_name = 'intervention_sequence'

    request = fields.Many2One(
        'project.intervention.request', "Request", ondelete='RESTRICT',
        domain=[
            ('work', '=', Eval('work', -1)),
            ])
    start = fields.DateTime(
        "Start",
        domain=[
            If(Bool(Eval('start')) & Bool(Eval('end')),
                ('start', '<=', Eval('end', None)),
                ()),
            ])
    end = fields.DateTime(
        "End",
        domain=[
            If(Bool(Eval('start')) & Bool(Eval('end')),
                ('end', '>=', Eval('start', None)),
                ()),
            ])
    employee = fields.Many2One(
        'company.employee', "Employee", ondelete='RESTRICT',
        domain=[
            ('company', '=', Eval('company', -1)),
            ])
    lines = fields.One2Many(
        'project.intervention.line', 'intervention', "Lines")
    currency = fields.Function(
        fields.Many2One('currency.currency', "Currency"),
        'on_change_with_currency')
    invoice_lines = fields.One2Many(
        'account.invoice.line', 'intervention', "Invoice Lines",
        readonly=True)
    invoices = fields.Function(
        fields.Many2Many(
            'account.invoice', None, None, "Invoices",
            states={
                'invisible': ~Eval('invoices'),
                }),
        'get_invoices', searcher='search_invoices')
    total_amount = fields.Function(
        Monetary(
            "Total", currency='currency', digits='currency',
            help="The untaxed amount of what is to be invoiced."),
        'get_amounts')
    covered_amount = fields.Function(
        Monetary(
            "Covered", currency='currency', digits='currency',
            help="The untaxed amount which the advances cover."),
        'get_amounts')
    state = fields.Selection([
            ('planned', "Planned"),
            ('done', "Done"),
            ('invoiced', "Invoiced"),
            ('cancelled', "Cancelled"),
            ], "State", readonly=True, sort=False)
    state_string = state.translated('state')

    # The fields that can not change once it is invoiced
    _invoiced_fields = {
        'company', 'work', 'party', 'date', 'description', 'advance_invoice',
        'request', 'start', 'end', 'employee', 'lines'}
    # Those that can not change once a part of it is billed
    _billed_fields = {'company', 'work', 'party', 'date', 'request'}

    @classmethod
    def __setup__(cls):
        super().__setup__()
        opened = Eval('state').in_(['planned', 'done'])
        for name in [
                'work', 'party', 'date', 'description', 'advance_invoice',
                'request', 'start', 'end', 'employee', 'lines']:
            getattr(cls, name).states.update(editable(opened))
        cls.advance_invoice.help = (
            "The advance to cover all the new lines.\n"
            "Leave empty to propose one as set on the project type.")
        cls._transitions |= {
            ('planned', 'done'),
            ('planned', 'cancelled'),
            ('done', 'planned'),
            ('done', 'invoiced'),
            ('done', 'cancelled'),
            ('invoiced', 'done'),
            ('cancelled', 'planned'),
            }
        cls._buttons.update({
                'plan': {
                    'invisible': ~Eval('state').in_(['done', 'cancelled']),
                    'depends': ['state'],
                    },
                'do': {
                    'invisible': Eval('state') != 'planned',
                    'depends': ['state'],
                    },
                'valorize': {
                    'invisible': ~Eval('state').in_(['done', 'invoiced']),
                    'depends': ['state'],
                    },
                'cancel': {
                    'invisible': ~opened,
                    'depends': ['state'],
                    },
                })

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            # Unlike that of a button this state lets the server say why
            ('//group[@id="valorize"]', 'states', {
                    'invisible': ~Eval('lines', []),
                    }, ['lines']),
            ]

    @classmethod
    def default_state(cls):
        return 'planned'

    # The fields that are those of the request
    _request_fields = [
        'work', 'party', 'company', 'description', 'advance_invoice']

    @fields.depends(
        'request', 'work', 'party', 'company', 'description',
        'advance_invoice',
        '_parent_request.work', '_parent_request.party',
        '_parent_request.company', '_parent_request.description',
        '_parent_request.advance_invoice', methods=['_propose_advances'])
    def on_change_request(self):
        if self.request:
            for name in self._request_fields:
                if value := getattr(self.request, name):
                    setattr(self, name, value)
            self._propose_advances(replace=True)

    @fields.depends(methods=['_propose_advances'])
    def on_change_work(self):
        super().on_change_work()
        self._propose_advances(replace=True)

    @fields.depends(methods=['_propose_advances'])
    def on_change_party(self):
        self._propose_advances()

    @fields.depends(methods=['_propose_advances'])
    def on_change_date(self):
        self._propose_advances()

    @fields.depends(methods=['_propose_advances'])
    def on_change_advance_invoice(self):
        self._propose_advances(replace=True)

    @fields.depends(
        'lines', 'work', 'party', 'date', 'advance_invoice',
        '_parent_work.id')
    def _propose_advances(self, replace=False):
        """
        Propose again the advances of the new lines that can not be used

        With replace, propose those of all the new lines.
        """
        pool = Pool()
        Line = pool.get('project.intervention.line')
        if not self.work:
            return
        lines = [
            l for l in self.lines or []
            if (l.id is None or l.id < 0)
            and (replace or (
                    l.advance_invoice
                    and l.advance_invoice.get_misfit(
                        self.work, self.party, self.date)))]
        if not lines:
            return
        proposals = Line.get_proposals([
                Line(intervention=self, kind=l.kind) for l in lines])
        for line, advance in zip(lines, proposals):
            line.advance_invoice = advance
        self.lines = self.lines

    @classmethod
    def preprocess_values(cls, mode, values):
        pool = Pool()
        Request = pool.get('project.intervention.request')
        if mode == 'create' and values.get('request'):
            request = Request(values['request'])
            values = values.copy()
            for name in cls._request_fields:
                value = getattr(request, name)
                values.setdefault(name, getattr(value, 'id', value))
        return super().preprocess_values(mode, values)

    @fields.depends('company')
    def on_change_with_currency(self, name=None):
        return self.company.currency if self.company else None

    @fields.depends('lines')
    def on_change_notify(self):
        notifications = super().on_change_notify()
        for line in self.lines or []:
            notifications.extend(line._notify_taxes())
        return notifications

    @fields.depends('lines', methods=['on_change_with_currency'])
    def on_change_lines(self):
        currency = self.on_change_with_currency()
        amounts = [
            l.on_change_with_amount() for l in self.lines or []
            if getattr(l, 'invoiceable', True)]
        if currency:
            amounts = map(currency.round, amounts)
        self.total_amount = sum(amounts, Decimal(0))

    @classmethod
    def get_amounts(cls, interventions, names):
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        Line = pool.get('project.intervention.line')
        result = {n: {} for n in names}
        with without_check_access():
            cancelled = cls._get_cancelled_amounts(interventions)
            to_bill = cls.get_lines_to_bill(
                [i for i in interventions if i.state != 'invoiced'])
            covers = Line.get_covers(
                [l for lines in to_bill.values() for l in lines])
            advances = list(set(chain(*covers.values())))
            available = Advance.get_available(advances)
            left = {a: available[a].amount for a in advances}
            for intervention in interventions:
                round_ = intervention.currency.round
                total = sum(
                    (l.amount for l in intervention.lines if l.invoiceable),
                    Decimal(0))
                covered = cancelled.get(intervention.id, Decimal(0))
                if lines := to_bill.get(intervention):
                    # Each as if it was the next to be valued
                    for advance in advances:
                        available[advance].amount = left[advance]
                    covered += sum(Advance.allocate(
                            [(l.amount, covers[l]) for l in lines], available,
                            limit=sum(l.amount for l in lines)).values())
                values = {
                    'total_amount': round_(total),
                    'covered_amount': round_(covered),
                    }
                for name in names:
                    result[name][intervention.id] = values[name]
        return result

    @classmethod
    def _get_cancelled_amounts(cls, interventions):
        "Return by id the amount cancelled by the open and live documents"
        pool = Pool()
        Invoice = pool.get('account.invoice')
        Line = pool.get('account.invoice.line')
        cursor = Transaction().connection.cursor()
        line = Line.__table__()
        invoice = Invoice.__table__()
        counted = Invoice._live(invoice) | (
            invoice.state.in_(OPEN) & (line.quantity < 0))
        amounts = {}
        for sub_interventions in grouped_slice(interventions, SLICE):
            query = (line
                .join(invoice, condition=line.invoice == invoice.id)
                .select(
                    line.intervention,
                    Sum(-line.advance_amount).as_('amount'),
                    where=counted
                    & (line.advance_cancellation == True)  # noqa: E712
                    & fields.SQL_OPERATORS['in'](
                        line.intervention,
                        [i.id for i in sub_interventions]),
                    group_by=line.intervention))
            if backend.name == 'sqlite':
                sqlite_apply_types(query, [None, 'NUMERIC'])
            cursor.execute(*query)
            amounts.update(cursor)
        return amounts

    @classmethod
    def get_billing_lines(cls, interventions):
        """
        Return for each intervention the invoice lines that bill it and are
        not credited in full
        """
        pool = Pool()
        Line = pool.get('account.invoice.line')
        lines = Line.search([
                ('intervention', 'in', [i.id for i in interventions]),
                ('type', '=', 'line'),
                ('origin', 'like', 'project.intervention.line,%'),
                ('invoice.state', 'in', OPEN + ['posted', 'paid']),
                ], order=[('id', 'ASC')])
        result = {i: [] for i in interventions}
        for line in Line.get_uncredited(lines):
            result[line.intervention].append(line)
        return result

    @classmethod
    def get_lines_to_bill(cls, interventions):
        "Return for each intervention its lines that are still to be billed"
        billed = {
            l.origin for lines in cls.get_billing_lines(interventions).values()
            for l in lines}
        return {
            i: [l for l in i.lines if l.to_bill and l not in billed]
            for i in interventions}

    @classmethod
    def get_billing_invoices(cls, interventions):
        "Return the invoices that bill the interventions"
        lines = cls.get_billing_lines(interventions)
        return list(dict.fromkeys(
                l.invoice for lines in lines.values() for l in lines))

    def get_invoices(self, name):
        return list(dict.fromkeys(
                l.invoice.id for l in self.invoice_lines if l.invoice))

    @classmethod
    def search_invoices(cls, name, clause):
        return [('invoice_lines.invoice' + clause[0][len(name):], *clause[1:])]

    @property
    def advance_key(self):
        "What the advances that may be proposed for it depend on"
        return self.work, self.party, self.date

    def check_advances(self):
        super().check_advances()
        for line in self.lines:
            line.check_advance()

    @classmethod
    def validate_fields(cls, interventions, field_names):
        super().validate_fields(interventions, field_names)
        if not field_names or field_names & {'request', 'state'}:
            for intervention in interventions:
                if intervention.state == 'planned' and intervention.request:
                    intervention.request.check_opened()

    @classmethod
    def check_modification(
            cls, mode, interventions, values=None, external=False):
        super().check_modification(
            mode, interventions, values=values, external=external)
        if mode == 'write' and values.keys() & cls._invoiced_fields:
            for intervention in interventions:
                intervention.check_opened()
            if values.keys() & cls._billed_fields:
                cls._check_billed([
                        i for i in interventions if i.invoice_lines])
        elif mode == 'delete':
            for intervention in interventions:
                if (intervention.state not in {'planned', 'cancelled'}
                        or intervention.invoice_lines):
                    raise InterventionAccessError(gettext(
                            'project_progress_invoice.msg_intervention_delete',
                            intervention=intervention.rec_name,
                            state=intervention.state_string))

    def check_opened(self):
        "Check what it bills can still change"
        if self.state not in {'planned', 'done'}:
            raise InterventionAccessError(gettext(
                    'project_progress_invoice.msg_intervention_opened',
                    intervention=self.rec_name,
                    state=self.state_string))

    @classmethod
    def copy(cls, interventions, default=None):
        default = default.copy() if default is not None else {}
        opened = {
            i.request.id for i in interventions
            if i.request and i.request.is_opened}
        default.setdefault(
            'request', lambda data: (
                data['request'] if data['request'] in opened else None))
        default.setdefault('invoice_lines')
        return super().copy(interventions, default=default)

    @classmethod
    @ModelView.button
    @Workflow.transition('planned')
    def plan(cls, interventions):
        cls._check_billed(interventions)

    @classmethod
    @ModelView.button
    @Workflow.transition('done')
    def do(cls, interventions):
        pass

    @classmethod
    @ModelView.button
    @Workflow.transition('cancelled')
    def cancel(cls, interventions):
        cls._check_billed(interventions)

    @classmethod
    def _check_billed(cls, interventions):
        "Check no open or live document bills them"
        for intervention, lines in cls.get_billing_lines(
                interventions).items():
            if lines:
                intervention._refuse_billed(lines)

    def _refuse_billed(self, lines):
        raise InterventionError(gettext(
                'project_progress_invoice.msg_intervention_billed',
                intervention=self.rec_name,
                invoice=lines[0].invoice.rec_name))

    @classmethod
    @Workflow.transition('invoiced')
    def _set_invoiced(cls, interventions):
        pass

    @classmethod
    @Workflow.transition('done')
    def _set_done(cls, interventions):
        pass

    @classmethod
    def update_billing(cls, interventions):
        """
        Set the state of the interventions by the documents that bill them

        No line of an intervention can be billed twice.
        """
        to_invoiced, to_done = [], []
        for intervention, lines in cls.get_billing_lines(
                interventions).items():
            billed = {}
            for line in lines:
                other = billed.setdefault(line.origin, line)
                if other != line:
                    raise InterventionError(gettext(
                            'project_progress_invoice'
                            '.msg_intervention_billed_twice',
                            intervention=intervention.rec_name,
                            invoice=other.invoice.rec_name,
                            other=line.invoice.rec_name))
            if lines and intervention.state not in {'done', 'invoiced'}:
                intervention._refuse_billed(lines)
            whole = lines and all(
                l in billed for l in intervention.lines if l.to_bill)
            if whole and intervention.state == 'done':
                to_invoiced.append(intervention)
            elif not whole and intervention.state == 'invoiced':
                to_done.append(intervention)
        if to_invoiced:
            cls._set_invoiced(to_invoiced)
        if to_done:
            cls._set_done(to_done)

    @classmethod
    @ModelView.button_action(
        'project_progress_invoice.wizard_intervention_valorize')
    def valorize(cls, interventions):
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        Invoice = pool.get('account.invoice')
        Line = pool.get('project.intervention.line')
        groups = cls.group_by_invoice(
            [i for i in interventions if i.state != 'invoiced'])
        covers = Line.get_covers(
            [l for i in chain(*groups) for l in i.lines])
        advances = list(set(chain(*covers.values())))
        lock_together([*advances, *interventions])
        interventions = list(chain(*groups))
        to_bill = cls.get_lines_to_bill(interventions)
        for intervention in interventions:
            intervention.check_valorize(to_bill[intervention])
        available = Advance.get_available(advances)

        invoices = []
        for grouped in groups:
            invoices.append(cls._get_invoice(
                    {i: to_bill[i] for i in grouped}, covers, available))
            if sum(len(i.lines) for i in invoices) >= BATCH:
                Invoice.save(invoices)
                invoices.clear()
        Invoice.save(invoices)
        cls._set_invoiced(interventions)

    @classmethod
    def _get_invoice(cls, to_bill, covers, available):
        """
        Return the invoice of the lines to bill by intervention of a project
        and a party
        """
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        first = next(iter(to_bill))
        invoice = first.work.get_project_invoice(first.party)
        left = sum(l.amount for lines in to_bill.values() for l in lines)
        invoice_lines = []
        for intervention, lines in to_bill.items():
            amounts = Advance.allocate(
                [(l.amount, covers[l]) for l in lines], available, limit=left)
            left -= sum(amounts.values())
            i_lines = [
                intervention._get_title_line(),
                *(l.get_billing_line() for l in lines),
                *Advance.get_cancellation_lines(amounts, available)]
            for line in i_lines:
                line.intervention = intervention
            invoice_lines.extend(i_lines)
        invoice.lines = invoice_lines
        return invoice

    @classmethod
    def group_by_invoice(cls, interventions):
        "Return the lists of the interventions that share an invoice"
        def key(intervention):
            party = intervention.party
            return intervention.work.id, party.id if party else -1

        # Each reads its lines on its own: those of many would not all stay in
        # the cache
        return [
            cls.browse(list(grouped)) for _, grouped in groupby(
                sorted(interventions, key=lambda i: (*key(i), i.date, i.id)),
                key=key)]

    def check_valorize(self, to_bill):
        "Check it can be valued by the lines that are to be billed"
        def refuse(message):
            raise InterventionError(gettext(
                    f'project_progress_invoice.{message}',
                    intervention=self.rec_name,
                    state=self.state_string))

        if self.state != 'done':
            refuse('msg_intervention_not_done')
        if not self.party:
            refuse('msg_intervention_party')
        if not to_bill:
            refuse('msg_intervention_lines')
        self.check_advances()

    def _get_title_line(self):
        pool = Pool()
        Lang = pool.get('ir.lang')
        Line = pool.get('account.invoice.line')
        lang = self.party.lang or Lang.get()
        return Line(
            invoice_type='out',
            company=self.company,
            currency=self.currency,
            type='title',
            description=' - '.join(filter(None, [
                        self.number, lang.strftime(self.date),
                        self.description])))


class InterventionLine(
        PricingMixin, sequence_ordered(), ModelSQL, ModelView):
    __name__ = 'project.intervention.line'
    _pricing_parent = 'intervention'

    intervention = fields.Many2One(
        'project.intervention', "Intervention", required=True,
        ondelete='CASCADE')
    company = fields.Function(
        fields.Many2One('company.company', "Company"),
        'on_change_with_company')
    currency = fields.Function(
        fields.Many2One('currency.currency', "Currency"),
        'on_change_with_currency')
    kind = fields.Selection([
            ('service', "Service"),
            ('material', "Material"),
            ('expense', "Expense"),
            ], "Kind", required=True, sort=False)
    kind_string = kind.translated('kind')
    product = fields.Many2One(
        'product.product', "Product", ondelete='RESTRICT',
        context={
            'company': Eval('company', None),
            },
        depends={'company'})
    product_uom_category = fields.Function(
        fields.Many2One(
            'product.uom.category', "Product UoM Category",
            help="The category of Unit of Measure for the product."),
        'on_change_with_product_uom_category')
    unit = fields.Many2One(
        'product.uom', "Unit", ondelete='RESTRICT',
        domain=[
            If(Bool(Eval('product_uom_category')),
                ('category', '=', Eval('product_uom_category')),
                ('category', '!=', -1)),
            ],
        states={
            'required': Bool(Eval('product')),
            })
    taxes = fields.Many2Many(
        'project.intervention.line-account.tax', 'line', 'tax', "Taxes",
        order=[('tax.sequence', 'ASC'), ('tax.id', 'ASC')],
        domain=[
            ('parent', '=', None),
            ['OR',
                ('group', '=', None),
                ('group.kind', 'in', ['sale', 'both']),
                ],
            ('company', '=', Eval('company', -1)),
            ])
    invoiceable = fields.Boolean(
        "Invoiceable", help="Uncheck to not invoice the line.")
    advance_invoice = fields.Many2One(
        'project.advance_invoice', "Advance Invoice", ondelete='RESTRICT',
        domain=[
            ('type', '=', 'on_account'),
            ('company', '=', Eval('company', -1)),
            ],
        help="The advance that covers the line.")
    invoice_lines = fields.One2Many(
        'account.invoice.line', 'origin', "Invoice Lines", readonly=True)
    intervention_state = fields.Function(
        fields.Selection('get_intervention_states', "Intervention State"),
        'on_change_with_intervention_state')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.__access__.add('intervention')
        cls.description.states['required'] = ~Eval('product')
        opened = Eval('intervention_state').in_(['planned', 'done'])
        for name in [
                'kind', 'product', 'description', 'quantity', 'unit',
                'unit_price', 'taxes', 'advance_invoice']:
            getattr(cls, name).states.update(editable(opened))
        cls.invoiceable.states.update(editable(
                Eval('intervention_state').in_(
                    ['planned', 'done', 'invoiced'])))

    @classmethod
    def default_kind(cls):
        return 'service'

    @classmethod
    def default_invoiceable(cls):
        return True

    @fields.depends('intervention', '_parent_intervention.company')
    def on_change_with_company(self, name=None):
        return self.intervention.company if self.intervention else None

    @fields.depends('intervention', '_parent_intervention.company')
    def on_change_with_currency(self, name=None):
        if self.intervention and self.intervention.company:
            return self.intervention.company.currency

    @classmethod
    def get_intervention_states(cls):
        pool = Pool()
        Intervention = pool.get('project.intervention')
        return Intervention.fields_get(['state'])['state']['selection']

    @fields.depends('intervention', '_parent_intervention.state')
    def on_change_with_intervention_state(self, name=None):
        return self.intervention.state if self.intervention else 'planned'

    @fields.depends('product')
    def on_change_with_product_uom_category(self, name=None):
        return self.product.default_uom_category if self.product else None

    @fields.depends(
        'intervention', 'taxes', methods=['on_change_kind', '_get_sale_line'])
    def on_change_intervention(self):
        if self.intervention:
            self.taxes = self._get_sale_line().taxes
        self.on_change_kind()

    @fields.depends(
        'kind', 'advance_invoice', 'intervention', '_parent_intervention.work',
        '_parent_intervention.party', '_parent_intervention.date',
        '_parent_intervention.advance_invoice')
    def on_change_kind(self):
        if self.intervention and self.intervention.work:
            self.advance_invoice = self.get_proposals([self])[0]

    @property
    @fields.depends(methods=['on_change_with_currency'])
    def pricing_currency(self):
        return self.on_change_with_currency()

    @property
    @fields.depends(
        'intervention', '_parent_intervention.party',
        '_parent_intervention.date',
        methods=['on_change_with_company', 'pricing_currency'])
    def pricing_pattern(self):
        party = date = None
        if self.intervention:
            party, date = self.intervention.party, self.intervention.date
        return {
            'company': self.on_change_with_company(),
            'party': party,
            'currency': self.pricing_currency,
            'sale_date': date,
            }

    @property
    def to_bill(self):
        "If it is to be billed"
        return bool(self.invoiceable and self.quantity)

    @property
    def advance_used(self):
        "The advance that covers it first"
        return self.advance_invoice or self.intervention.advance_invoice

    @property
    def is_proposed(self):
        "If the project type proposes the advances for its kind"
        type_ = self.intervention.work.project_type_used
        return bool(
            type_ and self.kind and getattr(type_, f'propose_{self.kind}'))

    @fields.depends(methods=['_notify_taxes'])
    def on_change_notify(self):
        notifications = super().on_change_notify()
        notifications.extend(self._notify_taxes())
        return notifications

    @fields.depends('taxes', 'advance_invoice', methods=['get_title'])
    def _notify_taxes(self):
        advance = self.advance_invoice
        if advance and set(self.taxes or []) != set(advance.taxes):
            yield ('warning', gettext(
                    'project_progress_invoice.msg_covered_taxes',
                    line=self.get_title(),
                    advance=advance.rec_name))

    @classmethod
    def get_proposals(cls, lines):
        "Return the advance to propose for each line"
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        proposals, keys = [], {}
        for i, line in enumerate(lines):
            intervention = line.intervention
            proposals.append(intervention.advance_invoice)
            if (not intervention.advance_invoice
                    and intervention.party and intervention.date
                    and line.is_proposed):
                keys[i] = intervention.advance_key
        if keys:
            with without_check_access():
                advances = Advance.get_proposals(keys.values())
            for i, key in keys.items():
                proposals[i] = advances[key]
        return proposals

    @classmethod
    def get_covers(cls, lines):
        """
        Return for each line the advances that cover it, in the order in which
        they are used: its own, then those that would be proposed
        """
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        ranked = Advance.get_ranked({
                l.intervention.advance_key for l in lines
                if l.advance_used and l.is_proposed})
        covers = {}
        for line in lines:
            advances = []
            if line.advance_used:
                advances.append(line.advance_used)
                if line.is_proposed:
                    advances += ranked[line.intervention.advance_key]
            covers[line] = tuple(dict.fromkeys(advances))
        return covers

    @classmethod
    def get_taken_amounts(cls, advances):
        "Return by advance the amount that done interventions are to cancel"
        pool = Pool()
        Intervention = pool.get('project.intervention')
        ids = [a.id for a in advances]
        lines = cls.search([
                ('intervention.state', '=', 'done'),
                ['OR',
                    ('advance_invoice', 'in', ids),
                    [
                        ('advance_invoice', '=', None),
                        ('intervention.advance_invoice', 'in', ids),
                        ],
                    ],
                ])
        amounts = defaultdict(Decimal)
        to_bill = Intervention.get_lines_to_bill(
            list({l.intervention for l in lines}))
        for line in chain(*to_bill.values()):
            if line.advance_used:
                amounts[line.advance_used] += line.amount
        return amounts

    @classmethod
    def create(cls, vlist):
        vlist = [v.copy() for v in vlist]
        for values in vlist:
            if values.get('intervention'):
                cls.set_sale_values(values, ['intervention'])
        with without_check_access():
            to_propose = [
                v for v in vlist
                if 'advance_invoice' not in v and v.get('intervention')]
            proposals = cls.get_proposals([
                    cls(intervention=v['intervention'],
                        kind=v.get('kind', cls.default_kind()))
                    for v in to_propose])
            for values, advance in zip(to_propose, proposals):
                values['advance_invoice'] = advance.id if advance else None
        return super().create(vlist)

    @classmethod
    def validate_fields(cls, lines, field_names):
        super().validate_fields(lines, field_names)
        for line in lines:
            for name in ['quantity', 'unit_price']:
                if not cls.is_amount(getattr(line, name)):
                    raise InterventionValidationError(gettext(
                            'project_progress_invoice'
                            '.msg_intervention_quantity',
                            line=line.rec_name,
                            **cls.__names__(field=name)))
            if not field_names or field_names & {
                    'intervention', 'advance_invoice'}:
                line.check_advance()

    def check_advance(self):
        intervention = self.intervention
        if self.advance_invoice:
            self.advance_invoice.check_association(
                intervention, intervention.work, intervention.party,
                intervention.date)

    @classmethod
    def check_modification(cls, mode, lines, values=None, external=False):
        pool = Pool()
        Intervention = pool.get('project.intervention')
        super().check_modification(
            mode, lines, values=values, external=external)
        if mode != 'create' and external:
            check_readable(cls, lines)
        interventions = {l.intervention for l in lines}
        if mode == 'write':
            if values.keys() <= {'sequence', 'invoiceable'}:
                # What was excluded of an invoiced one may be billed later
                lines = [
                    l for l in lines
                    if values.get('invoiceable', l.invoiceable)
                    != l.invoiceable]
                interventions = {
                    l.intervention for l in lines
                    if l.intervention.state != 'invoiced'}
            elif values.get('intervention'):
                interventions.add(Intervention(values['intervention']))
        if mode != 'create':
            cls._check_unbilled(lines)
        # They go with what is deleted
        deleted = Transaction().delete_records['project.intervention']
        for intervention in interventions:
            if intervention.id not in deleted:
                intervention.check_opened()

    @classmethod
    def on_modification(cls, mode, lines, field_names=None):
        super().on_modification(mode, lines, field_names=field_names)
        if mode != 'delete' and (
                field_names is None
                or field_names & {'invoiceable', 'quantity'}):
            cls._update_billing(lines)

    @classmethod
    def on_delete(cls, lines):
        callbacks = super().on_delete(lines)
        interventions = [
            l.intervention for l in lines if l.intervention.invoice_lines]
        if interventions:
            callbacks.append(
                lambda: interventions[0].update_billing(interventions))
        return callbacks

    @classmethod
    def _update_billing(cls, lines):
        "Set the state of the interventions of which a part is billed"
        pool = Pool()
        Intervention = pool.get('project.intervention')
        if interventions := {
                l.intervention for l in lines
                if l.intervention.invoice_lines}:
            Intervention.update_billing(Intervention.browse(interventions))

    @classmethod
    def copy(cls, lines, default=None):
        default = default.copy() if default is not None else {}
        default.setdefault('invoice_lines')
        return super().copy(lines, default=default)

    @classmethod
    def _check_unbilled(cls, lines):
        "Check no open or live document bills the lines"
        pool = Pool()
        Intervention = pool.get('project.intervention')
        billing = Intervention.get_billing_lines(list({
                    l.intervention for l in lines
                    if l.intervention.invoice_lines}))
        for intervention, billing_lines in billing.items():
            for billing_line in billing_lines:
                if billing_line.origin in lines:
                    raise InterventionAccessError(gettext(
                            'project_progress_invoice'
                            '.msg_intervention_line_billed',
                            line=billing_line.origin.rec_name,
                            invoice=billing_line.invoice.rec_name))

    def get_billing_line(self):
        "Return the line that invoices it"
        return self.get_invoice_line(
            self.revenue_account, origin=self,
            covered_by_advance=self.advance_used)


class InterventionLineTax(ModelSQL):
    __name__ = 'project.intervention.line-account.tax'

    line = fields.Many2One(
        'project.intervention.line', "Line", ondelete='CASCADE',
        required=True)
    tax = fields.Many2One(
        'account.tax', "Tax", ondelete='RESTRICT', required=True,
        domain=[
            ('parent', '=', None),
            ])


class AdvanceInvoice(metaclass=PoolMeta):
    __name__ = 'project.advance_invoice'

    @classmethod
    def _get_taken_amounts(cls, advances):
        pool = Pool()
        Line = pool.get('project.intervention.line')
        return Line.get_taken_amounts(advances)


class Invoice(metaclass=PoolMeta):
    __name__ = 'account.invoice'

    @property
    def interventions(self):
        if not self.project_billing:
            return set()
        return {l.intervention for l in self.lines if l.intervention}

    @property
    def advance_keys(self):
        return super().advance_keys | {
            i.advance_key for i in self.interventions}

    def get_origins(self, name):
        origins = super().get_origins(name)
        if self.interventions:
            # What cancels an advance names its invoice in the description
            names = [
                l.origin_name for l in self.line_lines
                if not l.advance_cancellation]
            origins = ', '.join(dict.fromkeys(filter(None, names))) or origins
        return origins

    @classmethod
    def _get_billing_records(cls, invoices):
        records = super()._get_billing_records(invoices)
        records.extend(v for i in invoices for v in i.interventions)
        return records

    @classmethod
    def _check_billing(cls, invoices):
        pool = Pool()
        Intervention = pool.get('project.intervention')
        super()._check_billing(invoices)
        with without_check_access():
            invoices = cls.browse([i for i in invoices if i.project_billing])
            if interventions := set().union(
                    *(i.interventions for i in invoices)):
                Intervention.update_billing(Intervention.browse(interventions))


class InvoiceLine(metaclass=PoolMeta):
    __name__ = 'account.invoice.line'

    intervention = fields.Many2One(
        'project.intervention', "Intervention",
        ondelete='RESTRICT', readonly=True,
        states={
            'invisible': ~Eval('intervention'),
            },
        help="The intervention that the line bills.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._readonly_fields = cls._readonly_fields | {'intervention'}
        table = cls.__table__()
        cls._sql_indexes.add(
            Index(
                table,
                (table.intervention, Index.Range()),
                where=table.intervention != Null))

    @classmethod
    def _get_origin(cls):
        return super()._get_origin() + ['project.intervention.line']

    @property
    def origin_name(self):
        pool = Pool()
        InterventionLine = pool.get('project.intervention.line')
        name = super().origin_name
        if isinstance(self.origin, InterventionLine) and self.origin.id >= 0:
            name = self.origin.intervention.number
        return name

    @property
    def _cover_key(self):
        return getattr(self, 'intervention', None)

    @property
    def goes_on(self):
        pool = Pool()
        Line = pool.get('project.intervention.line')
        origin = self.root_origin
        if isinstance(origin, Line):
            return origin.is_proposed
        return super().goes_on

    @property
    def _billing_key(self):
        return (*super()._billing_key, self.intervention)

    @property
    @fields.depends('intervention')
    def is_project_billing(self):
        return super().is_project_billing or bool(self.intervention)

    @classmethod
    def column_quantity_unit(cls, tables):
        table, _ = tables[None]
        return Case(
            # What is left to credit may be any part of a unit
            ((table.intervention != Null) & (table.quantity < 0), Null),
            else_=super().column_quantity_unit(tables))

    @fields.depends('intervention', 'quantity')
    def on_change_with_quantity_unit(self, name=None):
        if self.intervention and (self.quantity or 0) < 0:
            return None
        return super().on_change_with_quantity_unit(name=name)

    def _credit(self):
        line = super()._credit()
        line.intervention = self.intervention
        return line

    @classmethod
    def on_delete(cls, lines):
        pool = Pool()
        Intervention = pool.get('project.intervention')
        callbacks = super().on_delete(lines)
        if interventions := {l.intervention for l in lines if l.intervention}:
            callbacks.append(lambda: Intervention.update_billing(
                    Intervention.browse(interventions)))
        return callbacks

    @classmethod
    def copy(cls, lines, default=None):
        default = default.copy() if default is not None else {}
        default.setdefault('intervention')
        return super().copy(lines, default=default)
