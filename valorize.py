# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
The windows that make the invoices of projects and show them
"""
import trytond.config as config
from trytond.i18n import gettext
from trytond.model import ModelView, fields
from trytond.modules.currency.fields import Monetary
from trytond.pool import Pool
from trytond.pyson import Bool, Eval, If, PYSONEncoder
from trytond.transaction import Transaction, check_access
from trytond.wizard import (
    Button, StateAction, StateTransition, StateView, Wizard)

from .common import OPEN
from .exceptions import InterventionError

# The most interventions that are valued at once when there are workers
LARGE = 100


class InvoicesMixin:
    "Tell who may not read invoices what was made"
    __slots__ = ()

    tell = StateView(
        'project.advance_invoice.valorize.tell',
        'project_progress_invoice.advance_invoice_valorize_tell_view_form', [
            Button("Close", 'end', 'tryton-close', default=True),
            ])

    def get_shown_invoices(self):
        "Return the open invoices, or all if there is none"
        invoices = self.get_invoices()
        return [i for i in invoices if i.state in OPEN] or invoices

    def can_read_invoices(self):
        pool = Pool()
        ModelAccess = pool.get('ir.model.access')
        access = ModelAccess.get_access(['account.invoice'])
        return access['account.invoice']['read']

    def default_tell(self, fields):
        return {
            'invoices': [{
                    'number': i.number or f'({i.id})',
                    'party': i.party.id,
                    'currency': i.currency.id,
                    'untaxed_amount': i.untaxed_amount,
                    'total_amount': i.total_amount,
                    'state': i.state,
                    } for i in self.get_shown_invoices()],
            }


class ShowInvoicesMixin(InvoicesMixin):
    "Show the invoices before they are opened"
    __slots__ = ()

    show = StateView(
        'project.advance_invoice.valorize.show',
        'project_progress_invoice.advance_invoice_valorize_show_view_form', [
            Button("Close", 'end', 'tryton-close'),
            Button("Open", 'open_', 'tryton-open', default=True),
            ])
    open_ = StateAction('account_invoice.act_invoice_form')

    def transition_choose(self):
        return 'show' if self.can_read_invoices() else 'tell'

    def default_show(self, fields):
        return {
            'invoices': [i.id for i in self.get_shown_invoices()],
            }

    def do_open_(self, action):
        invoices = self.get_shown_invoices()
        if len(invoices) == 1:
            action['views'].reverse()
        return action, {'res_id': [i.id for i in invoices]}


class ValorizeMixin(ShowInvoicesMixin):
    "Make the invoices of the records at once then show them"
    __slots__ = ()
    start_state = 'valorize'

    valorize = StateTransition()

    def get_invoices(self):
        return self.model.get_billing_invoices(self.records)

    def transition_valorize(self):
        # The access to the wizard is not the one to the button
        with check_access():
            self.model.valorize(self.records)
        return self.transition_choose()


class ValorizeAdvance(ValorizeMixin, Wizard):
    __name__ = 'project.advance_invoice.valorize'


class ShowInvoices(ShowInvoicesMixin, Wizard):
    __name__ = 'project.advance_invoice.show'
    start_state = 'choose'

    choose = StateTransition()

    def get_invoices(self):
        "Return all the documents with lines of the advances"
        pool = Pool()
        Line = pool.get('account.invoice.line')
        ids = [a.id for a in self.records]
        lines = Line.search([
                ('invoice', '!=', None),
                ['OR',
                    ('advance_invoice', 'in', ids),
                    ('covered_by_advance', 'in', ids),
                    ],
                ], order=[('id', 'ASC')])
        return list(dict.fromkeys(l.invoice for l in lines))


class ValorizeShow(ModelView):
    __name__ = 'project.advance_invoice.valorize.show'

    invoices = fields.Many2Many(
        'account.invoice', None, None, "Invoices", readonly=True)


class ValorizeTell(ModelView):
    __name__ = 'project.advance_invoice.valorize.tell'

    invoices = fields.One2Many(
        'project.advance_invoice.valorize.tell.invoice', None, "Invoices",
        readonly=True)
    waiting = fields.Integer(
        "Waiting", readonly=True,
        states={
            'invisible': ~Eval('waiting', 0),
            },
        help="The interventions whose invoice is still to be made.")


class ValorizeTellInvoice(ModelView):
    __name__ = 'project.advance_invoice.valorize.tell.invoice'

    number = fields.Char("Number", readonly=True)
    party = fields.Many2One('party.party', "Party", readonly=True)
    currency = fields.Many2One(
        'currency.currency', "Currency", readonly=True)
    untaxed_amount = Monetary(
        "Untaxed", currency='currency', digits='currency', readonly=True)
    total_amount = Monetary(
        "Total", currency='currency', digits='currency', readonly=True)
    state = fields.Selection('get_states', "State", readonly=True)

    @classmethod
    def get_states(cls):
        pool = Pool()
        Invoice = pool.get('account.invoice')
        return Invoice.fields_get(['state'])['state']['selection']


class ValorizeIntervention(ValorizeMixin, Wizard):
    __name__ = 'project.intervention.valorize'


class ValueInterventions(InvoicesMixin, Wizard):
    __name__ = 'project.intervention.value_many'

    start = StateView(
        'project.intervention.value_many.start',
        'project_progress_invoice.intervention_value_many_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Value", 'value', 'tryton-ok', default=True),
            ])
    value = StateAction('account_invoice.act_invoice_form')
    # Only for what is shown in the same request
    valued = ()

    def get_invoices(self):
        pool = Pool()
        Intervention = pool.get('project.intervention')
        return Intervention.get_billing_invoices(self.valued)

    def do_value(self, action):
        pool = Pool()
        Intervention = pool.get('project.intervention')
        with check_access():
            interventions = Intervention.search(self._get_domain())
        if not interventions:
            self._refuse_nothing()
        # What it bills is read without access to the accounting
        interventions = Intervention.browse(interventions)
        at_once, later = interventions, []
        if (len(interventions) > LARGE
                and config.getboolean('queue', 'worker', default=False)):
            # The user is told what is refused
            to_bill = Intervention.get_lines_to_bill(interventions)
            for intervention, lines in to_bill.items():
                intervention.check_valorize(lines)
            at_once, *later = Intervention.group_by_invoice(interventions)
        with check_access():
            Intervention.valorize(at_once)
        for grouped in later:
            Intervention.__queue__.valorize(grouped)
        self.valued = interventions
        if not self.can_read_invoices():
            return
        if later:
            # The list fills as the workers make the invoices
            action['pyson_domain'] = PYSONEncoder().encode([
                    ('lines.intervention', 'in',
                        [i.id for i in interventions]),
                    ])
            return action, {}
        return action, {'res_id': [i.id for i in self.get_invoices()]}

    def transition_value(self):
        return 'end' if self.can_read_invoices() else 'tell'

    def _refuse_nothing(self):
        pool = Pool()
        Lang = pool.get('ir.lang')
        lang = Lang.get()
        filter_ = []
        for name in ['from_date', 'to_date', 'parties', 'works']:
            if value := getattr(self.start, name):
                if name.endswith('_date'):
                    value = lang.strftime(value)
                else:
                    value = ", ".join(r.rec_name for r in value)
                label = self.start.__names__(field=name)['field']
                filter_.append(f'{label}: {value}')
        message = 'msg_intervention_nothing'
        if filter_:
            message += '_filter'
        raise InterventionError(gettext(
                f'project_progress_invoice.{message}',
                filter="; ".join(filter_)))

    def default_tell(self, fields):
        values = super().default_tell(fields)
        values['waiting'] = sum(
            i.state != 'invoiced' for i in self.valued)
        return values

    def _get_domain(self):
        domain = [
            ('state', '=', 'done'),
            ('company', '=', Transaction().context.get('company', -1)),
            # Others have nothing to value
            ('lines', 'where', [
                    ('invoiceable', '=', True),
                    ('quantity', '!=', 0),
                    ]),
            ]
        if self.start.from_date:
            domain.append(('date', '>=', self.start.from_date))
        if self.start.to_date:
            domain.append(('date', '<=', self.start.to_date))
        if self.start.parties:
            domain.append(('party', 'in', [p.id for p in self.start.parties]))
        if self.start.works:
            domain.append(
                ('work', 'child_of', [w.id for w in self.start.works],
                    'parent'))
        return domain


class ValueInterventionsStart(ModelView):
    __name__ = 'project.intervention.value_many.start'

    from_date = fields.Date(
        "From Date",
        domain=[
            If(Bool(Eval('from_date')) & Bool(Eval('to_date')),
                ('from_date', '<=', Eval('to_date', None)),
                ()),
            ],
        help="Leave empty to have no lower limit.")
    to_date = fields.Date(
        "To Date",
        domain=[
            If(Bool(Eval('from_date')) & Bool(Eval('to_date')),
                ('to_date', '>=', Eval('from_date', None)),
                ()),
            ],
        help="Leave empty to have no upper limit.")
    parties = fields.Many2Many(
        'party.party', None, None, "Parties",
        help="Leave empty for all the parties.")
    works = fields.Many2Many(
        'project.work', None, None, "Projects",
        domain=[
            ('type', '=', 'project'),
            ],
        help="Leave empty for all the projects.")
