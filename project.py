# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
from collections import defaultdict
from decimal import Decimal
from itertools import chain

from sql import Null
from trytond.cache import Cache
from trytond.i18n import gettext
from trytond.model import DeactivableMixin, ModelSQL, ModelView, fields
from trytond.model.exceptions import RecursionError
from trytond.modules.company.model import (
    CompanyMultiValueMixin, CompanyValueMixin)
from trytond.modules.currency.fields import Monetary
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval, Id
from trytond.transaction import Transaction, without_check_access

from .common import check_readable, editable, lock_together
from .exceptions import (
    AdvanceAccessError, AdvanceSetupError, DepositAccountWarning)


class ProjectType(
        DeactivableMixin, CompanyMultiValueMixin, ModelSQL, ModelView):
    __name__ = 'project.type'

    name = fields.Char("Name", required=True, translate=True)
    invoice_journal = fields.Many2One(
        'account.journal', "Invoice Type", ondelete='RESTRICT',
        domain=[
            ('type', '=', 'revenue'),
            ],
        help="The journal of the invoices of the projects.")
    advance_account = fields.MultiValue(
        fields.Many2One(
            'account.account', "Advance Account",
            domain=[
                ('type.deposit', '=', True),
                ('closed', '!=', True),
                ('company', '=', Eval('context', {}).get('company', -1)),
                ],
            help="The deposit account of the advances that are billed and "
            "not yet cancelled.\n"
            "It must require a party and be used for the advances only."))
    advance_accounts = fields.One2Many(
        'project.type.account', 'project_type', "Advance Accounts")
    propose_service = fields.Boolean(
        "Propose for Services",
        help="Check to cover the services by the advances by default.")
    propose_material = fields.Boolean(
        "Propose for Materials",
        help="Check to cover the materials by the advances by default.")
    propose_expense = fields.Boolean(
        "Propose for Expenses",
        help="Check to cover the expenses by the advances by default.")
    consume = fields.Selection([
            ('posted', "Once Posted"),
            ('paid', "Once Paid"),
            ], "Consume Advances", required=True,
        help="When the advances can be cancelled.")
    cancellation_product = fields.Many2One(
        'product.product', "Cancellation Product", ondelete='RESTRICT',
        help="The product of the lines that cancel the advances.")
    cancellation_description = fields.Text(
        "Cancellation Description", translate=True,
        help="The description of the lines that cancel the advances.\n"
        "Leave empty to name the advance.")

    @classmethod
    def multivalue_model(cls, field):
        pool = Pool()
        if field == 'advance_account':
            return pool.get('project.type.account')
        return super().multivalue_model(field)

    @classmethod
    def default_propose_service(cls):
        return False

    @classmethod
    def default_propose_material(cls):
        return False

    @classmethod
    def default_propose_expense(cls):
        return False

    @classmethod
    def default_consume(cls):
        return 'posted'


class ProjectTypeAccount(ModelSQL, CompanyValueMixin):
    __name__ = 'project.type.account'

    project_type = fields.Many2One(
        'project.type', "Project Type", ondelete='CASCADE',
        context={
            'company': Eval('company', -1),
            },
        depends={'company'})
    advance_account = fields.Many2One(
        'account.account', "Advance Account", ondelete='RESTRICT',
        domain=[
            ('type.deposit', '=', True),
            ('company', '=', Eval('company', -1)),
            ])

    _advance_accounts_cache = Cache(
        'project.type.account.advance_accounts', context=False)

    @classmethod
    def get_advance_accounts(cls):
        "Return the ids of the accounts on which advances are or were billed"
        pool = Pool()
        Line = pool.get('account.invoice.line')
        accounts = cls._advance_accounts_cache.get(None)
        if accounts is None:
            cursor = Transaction().connection.cursor()
            table, line = cls.__table__(), Line.__table__()
            cursor.execute(*(
                    table.select(
                        table.advance_account,
                        where=table.advance_account != Null)
                    | line.select(
                        line.account, where=line.advance_invoice != Null)))
            accounts = [account for account, in cursor]
            cls._advance_accounts_cache.set(None, accounts)
        return accounts

    @classmethod
    def on_modification(cls, mode, records, field_names=None):
        super().on_modification(mode, records, field_names=field_names)
        cls._advance_accounts_cache.clear()

    @classmethod
    def validate_fields(cls, records, field_names):
        super().validate_fields(records, field_names)
        cls.check_advance_account(records, field_names)

    @classmethod
    def check_advance_account(cls, records, field_names=None):
        """
        Check the account can tell what is left of the advances of a party

        An account out of the balance sheet can, but does not show what is
        due to the customers: it is only warned about.
        """
        pool = Pool()
        Warning = pool.get('res.user.warning')
        if field_names and 'advance_account' not in field_names:
            return
        for record in records:
            account = record.advance_account
            if not account:
                continue
            names = {
                'account': account.rec_name,
                'type': record.project_type.rec_name,
                }
            if not account.party_required:
                raise AdvanceSetupError(gettext(
                        'project_progress_invoice.msg_deposit_party', **names))
            if account.type.statement == 'off-balance':
                key = Warning.format('deposit_off_balance', [account])
                if Warning.check(key):
                    raise DepositAccountWarning(key, gettext(
                            'project_progress_invoice.msg_deposit_off_balance',
                            **names))


# The row of Tryton's project is there before its sequences are, so that their
# columns cannot be required
_request_sequence = fields.Many2One(
    'ir.sequence', "Intervention Request Sequence",
    states={
        'required': True,
        },
    domain=[
        ('sequence_type', '=', Id(
                'project_progress_invoice',
                'sequence_type_intervention_request')),
        ])
_intervention_sequence = fields.Many2One(
    'ir.sequence', "Intervention Sequence",
    states={
        'required': True,
        },
    domain=[
        ('sequence_type', '=', Id(
                'project_progress_invoice',
                'sequence_type_intervention')),
        ])


class Configuration(metaclass=PoolMeta):
    __name__ = 'project.configuration'

    intervention_request_sequence = fields.MultiValue(_request_sequence)
    intervention_sequence = fields.MultiValue(_intervention_sequence)

    @classmethod
    def multivalue_model(cls, field):
        pool = Pool()
        if field in {
                'intervention_request_sequence', 'intervention_sequence'}:
            return pool.get('project.configuration.sequence')
        return super().multivalue_model(field)

    @classmethod
    def default_intervention_request_sequence(cls, **pattern):
        return cls.multivalue_model(
            'intervention_request_sequence'
            ).default_intervention_request_sequence()

    @classmethod
    def default_intervention_sequence(cls, **pattern):
        return cls.multivalue_model(
            'intervention_sequence').default_intervention_sequence()


class ConfigurationSequence(metaclass=PoolMeta):
    __name__ = 'project.configuration.sequence'

    intervention_request_sequence = _request_sequence
    intervention_sequence = _intervention_sequence

    @classmethod
    def _default_sequence(cls, name):
        pool = Pool()
        ModelData = pool.get('ir.model.data')
        try:
            return ModelData.get_id('project_progress_invoice', name)
        except KeyError:
            return None

    @classmethod
    def default_intervention_request_sequence(cls):
        return cls._default_sequence('sequence_intervention_request')

    @classmethod
    def default_intervention_sequence(cls):
        return cls._default_sequence('sequence_intervention')


class Work(metaclass=PoolMeta):
    __name__ = 'project.work'

    project_type = fields.Many2One(
        'project.type', "Project Type", ondelete='RESTRICT',
        states={
            'invisible': Eval('type') != 'project',
            },
        context={
            'company': Eval('company', -1),
            },
        depends={'company'},
        help="How advances are billed and used.\n"
        "Leave empty to use the one of the parent.")
    advance_invoices = fields.One2Many(
        'project.advance_invoice', 'work', "Advance Invoices",
        states={
            'invisible': Eval('type') != 'project',
            })
    interventions = fields.One2Many(
        'project.intervention', 'work', "Interventions",
        states={
            'invisible': Eval('type') != 'project',
            })
    advance_billed_amount = fields.Function(
        Monetary(
            "Advances Billed", currency='currency', digits='currency',
            states={
                'invisible': Eval('type') != 'project',
                },
            help="What was billed in advance on account."),
        'get_advance_amounts')
    advance_cancelled_amount = fields.Function(
        Monetary(
            "Advances Cancelled", currency='currency', digits='currency',
            states={
                'invisible': Eval('type') != 'project',
                },
            help="What was cancelled of the advances."),
        'get_advance_amounts')
    advance_residual_amount = fields.Function(
        Monetary(
            "Advances Left", currency='currency', digits='currency',
            states={
                'invisible': Eval('type') != 'project',
                },
            help="What is left of the advances."),
        'get_advance_amounts')
    advance_available_amount = fields.Function(
        Monetary(
            "Available", currency='currency', digits='currency',
            states={
                'invisible': Eval('type') != 'project',
                },
            help="What may cover its work, of the advances of its parents "
            "too."),
        'get_advance_available')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        for state, condition in editable(
                ~Bool(Eval('advance_billed_amount', 0))).items():
            cls.party.states[state] = condition

    @classmethod
    def get_advance_amounts(cls, works, names):
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        amounts = {n: defaultdict(Decimal) for n in names}
        with without_check_access():
            advances = Advance.search([
                    ('work', 'in', [w.id for w in works]),
                    ('type', '=', 'on_account'),
                    ], order=[])
            for advance, figures in Advance.get_figures(advances).items():
                values = {
                    'advance_billed_amount': figures.billed_amount,
                    'advance_cancelled_amount': figures.cancelled_amount,
                    'advance_residual_amount': figures.residual_amount,
                    }
                for name in names:
                    amounts[name][advance.work.id] += values[name]
        return {
            n: {w.id: w.company.currency.round(amounts[n][w.id])
                for w in works}
            for n in names}

    @classmethod
    def get_advance_available(cls, works, name):
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        Date = pool.get('ir.date')
        with without_check_access():
            keys = {}
            for work in works:
                if work.type == 'project':
                    with Transaction().set_context(company=work.company.id):
                        keys[work] = (work, work.party_used, Date.today())
            ranked = Advance.get_ranked(keys.values())
            available = Advance.get_available(
                list({a for advances in ranked.values() for a in advances}))
        return {
            w.id: w.company.currency.round(sum(
                    (available[a].amount for a in ranked.get(keys.get(w), [])),
                    Decimal(0)))
            for w in works}

    def get_lineage(self, values=None):
        """
        Return the work and its ancestors from the nearest

        The parents are those of the values by work, which are about to be
        saved, if any.  It ends also where they would be in a circle.
        """
        values = values or {}
        works, work = [], self
        while work and work not in works:
            works.append(work)
            work = values.get(work, {}).get('parent', work.parent)
        return works

    @property
    def lineage(self):
        return self.get_lineage()

    @property
    def invoicing_date(self):
        "The last day whose work is invoiced"
        pool = Pool()
        Date = pool.get('ir.date')
        if (self.invoice_method == 'timesheet'
                and self.invoice_timesheet_up_to):
            return self.invoice_timesheet_up_to
        with Transaction().set_context(company=self.company.id):
            return Date.today()

    @property
    def project_type_used(self):
        "The project type of the nearest work that has one"
        return next(
            (w.project_type for w in self.lineage if w.project_type), None)

    @property
    def proposes_advances(self):
        "If its project type proposes the advances for something"
        type_ = self.project_type_used
        return bool(type_ and (
                type_.propose_service
                or type_.propose_material
                or type_.propose_expense))

    @property
    def party_used(self):
        "The party of the nearest work that has one"
        return next((w.party for w in self.lineage if w.party), None)

    def get_project_invoice(self, party):
        "Return a new customer invoice without lines for the party"
        pool = Pool()
        Invoice = pool.get('account.invoice')
        invoice = Invoice(
            type='out',
            company=self.company,
            currency=self.company.currency,
            party=party,
            description=self.name,
            project_billing=True)
        invoice.on_change_type()
        if type_ := self.project_type_used:
            if not type_.invoice_journal:
                raise AdvanceSetupError(gettext(
                        'project_progress_invoice.msg_invoice_type_missing',
                        work=self.rec_name,
                        type=type_.rec_name))
            invoice.journal = type_.invoice_journal
        return invoice

    @classmethod
    @ModelView.button
    def invoice(cls, works):
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        Invoice = pool.get('account.invoice')
        keys = {}
        for project in cls.search([
                    ('parent', 'child_of', [w.id for w in works]),
                    ('type', '=', 'project'),
                    ]):
            type_ = project.project_type_used
            if type_ and type_.propose_service and project.party_used:
                keys[project.id] = (
                    project, project.party_used, project.invoicing_date)
        if not keys:
            super().invoice(works)
            return
        lock_together(set(chain(*Advance.get_ranked(keys.values()).values())))
        proposals = Advance.get_proposals(keys.values())
        proposals = {
            id_: proposals[key].id for id_, key in keys.items()
            if proposals[key]}

        def search_covered():
            return set(Invoice.search([
                        ('lines.covered_by_advance', 'in',
                            list(set(proposals.values()))),
                        ('state', '=', 'draft'),
                        ]))

        before = search_covered()
        with Transaction().set_context(_advance_proposals=proposals):
            super().invoice(works)
        Invoice.cancel_advances(list(search_covered() - before))

    def _get_invoice(self):
        invoice = super()._get_invoice()
        if self.project_type_used:
            invoice.project_billing = True
        return invoice

    def _get_lines_to_invoice(self):
        lines = super()._get_lines_to_invoice()
        proposals = Transaction().context.get('_advance_proposals', {})
        if lines and proposals:
            project = next(
                (w for w in self.lineage if w.type == 'project'), None)
            for line in lines:
                # Another module adds what is not work of the project
                if line['origins']:
                    line['covered_by_advance'] = proposals.get(
                        project.id if project else None)
        return lines

    def _group_lines_to_invoice_key(self, line):
        key = super()._group_lines_to_invoice_key(line)
        if line.get('covered_by_advance'):
            key += (('covered_by_advance', line['covered_by_advance']),)
        return key

    def _get_invoice_line(self, key, invoice, lines):
        invoice_line = super()._get_invoice_line(key, invoice, lines)
        invoice_line.covered_by_advance = key.get('covered_by_advance')
        return invoice_line

    @classmethod
    def check_modification(cls, mode, works, values=None, external=False):
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        super().check_modification(
            mode, works, values=values, external=external)
        if mode == 'delete':
            # Before the parent of the works is cleaned to be deleted, for
            # the names of the works are those of their parents
            Advance.check_modification('delete', Advance.search([
                        ('work', 'in', [w.id for w in works]),
                        ]))
        if mode == 'write' and values.keys() & {'party', 'parent'}:
            if external:
                check_readable(cls, works)
            changes = dict.fromkeys(works, cls._get_changes(values))
            cls._check_circle(changes)
            advances = Advance.search([
                    ('work', 'child_of', [w.id for w in works], 'parent'),
                    ])
            for advance in advances:
                party = advance.work._get_next_party(changes)
                if advance.party != party and (
                        advance.billed or advance.opening_quantity):
                    raise AdvanceAccessError(gettext(
                            'project_progress_invoice.msg_work_party',
                            work=advance.work.rec_name,
                            advance=advance.rec_name))

    @classmethod
    def _check_circle(cls, changes):
        "Check the works do not become their own ancestors"
        for work in changes:
            *_, last = work.get_lineage(changes)
            parent = changes.get(last, {}).get('parent', last.parent)
            if parent:
                # What Tryton computes of the tree would not end
                raise RecursionError(gettext(
                        'ir.msg_recursion_error',
                        rec_name=last.name, parent_rec_name=parent.name))

    @classmethod
    def _get_changes(cls, values):
        "Return the records of the parent and the party among the values"
        pool = Pool()
        Party = pool.get('party.party')
        return {
            name: Model(values[name]) if values[name] is not None else None
            for name, Model in [('parent', cls), ('party', Party)]
            if name in values}

    def _get_next_party(self, changes):
        "Return the party to use once the values by work are written"
        return next((
                party for w in self.get_lineage(changes)
                if (party := changes.get(w, {}).get('party', w.party))), None)

    @classmethod
    def copy(cls, works, default=None):
        default = default.copy() if default is not None else {}
        default.setdefault('advance_invoices')
        default.setdefault('interventions')
        return super().copy(works, default=default)
