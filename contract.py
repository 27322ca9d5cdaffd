# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
from collections import defaultdict
from decimal import Decimal

from sql import Null, Window
from sql.aggregate import Max, Sum
from sql.conditionals import Case
from sql.functions import CharLength, RowNumber
from sql.operators import Exists
from trytond import backend
from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.modules.company.model import CompanyValueMixin
from trytond.modules.currency.fields import Monetary
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval, Id, If
from trytond.tools import grouped_slice, sqlite_apply_types
from trytond.transaction import Transaction, without_check_access

from .common import OPEN, SLICE, ReadonlyMixin, editable, lock_together
from .exceptions import ProgressAccessError, ProgressContractError
from .progress import get_ratio


class Configuration(metaclass=PoolMeta):
    __name__ = 'account.configuration'

    progress_contract_sequence = fields.MultiValue(fields.Many2One(
            'ir.sequence', "Contract Sequence", required=True,
            domain=[
                ('company', 'in',
                    [Eval('context', {}).get('company', -1), None]),
                ('sequence_type', '=', Id(
                        'project_progress_invoice',
                        'sequence_type_progress_contract')),
                ]))

    @classmethod
    def default_progress_contract_sequence(cls, **pattern):
        return cls.multivalue_model(
            'progress_contract_sequence').default_progress_contract_sequence()


class ConfigurationContractSequence(ModelSQL, CompanyValueMixin):
    __name__ = 'account.configuration.progress_contract_sequence'

    progress_contract_sequence = fields.Many2One(
        'ir.sequence', "Contract Sequence", required=True,
        domain=[
            ('company', 'in', [Eval('company', -1), None]),
            ('sequence_type', '=', Id(
                    'project_progress_invoice',
                    'sequence_type_progress_contract')),
            ])

    @classmethod
    def default_progress_contract_sequence(cls):
        pool = Pool()
        ModelData = pool.get('ir.model.data')
        try:
            return ModelData.get_id(
                'project_progress_invoice', 'sequence_progress_contract')
        except KeyError:
            return None


class Contract(ReadonlyMixin, ModelSQL, ModelView):
    __name__ = 'account.progress_contract'
    _rec_name = 'number'
    _order_name = 'number'
    _readonly_fields = {'number', 'by_hand'}

    number = fields.Char("Number", readonly=True)
    company = fields.Many2One('company.company', "Company", required=True)
    party = fields.Many2One(
        'party.party', "Party", required=True,
        context={
            'company': Eval('company', -1),
            },
        depends={'company'})
    currency = fields.Many2One('currency.currency', "Currency", required=True)
    description = fields.Char("Description")
    reference = fields.Char(
        "Reference", help="The number that the customer gave to the contract.")
    work = fields.Many2One(
        'project.work', "Project", ondelete='RESTRICT',
        domain=[
            ('type', '=', 'project'),
            ('company', '=', Eval('company', -1)),
            ])
    by_hand = fields.Boolean(
        "By Hand", readonly=True,
        help="If it stays when its only document is deleted.")
    invoices = fields.One2Many(
        'account.invoice', 'progress_contract', "Documents", readonly=True,
        order=[('progress_number', 'ASC'), ('id', 'ASC')])
    open_invoice = fields.Function(
        fields.Many2One('account.invoice', "Open Invoice"),
        'get_open_invoice', searcher='search_open_invoice')
    sales = fields.Function(
        fields.Many2Many('sale.sale', None, None, "Sales"),
        'get_sales', searcher='search_sales')
    total_amount = fields.Function(
        Monetary(
            "Total", currency='currency', digits='currency',
            help="What is sold without taxes."),
        'get_amounts')
    billed_amount = fields.Function(
        Monetary(
            "Billed", currency='currency', digits='currency',
            help="What is billed without taxes."),
        'get_amounts')
    remaining_amount = fields.Function(
        Monetary(
            "Remaining", currency='currency', digits='currency',
            help="What is left to bill without taxes."),
        'get_amounts')
    progress = fields.Function(
        fields.Float(
            "Progress", digits=(None, 4), help="What is billed of the total."),
        'get_amounts')
    paid_amount = fields.Function(
        Monetary(
            "Paid", currency='currency', digits='currency',
            help="What is paid of the documents with taxes."),
        'get_paid_amounts')
    amount_to_pay = fields.Function(
        Monetary(
            "To Pay", currency='currency', digits='currency',
            help="What is still to pay of the documents with taxes."),
        'get_paid_amounts')
    state = fields.Function(
        fields.Selection([
                ('open', "Open"),
                ('closed', "Closed"),
                ], "State", sort=False,
            help="It is closed as long as its closing invoice bills."),
        'get_state', searcher='search_state')

    # What all its documents have in common
    _common_fields = {'company', 'party', 'currency'}

    @classmethod
    def __setup__(cls):
        cls.number.search_unaccented = False
        cls.reference.search_unaccented = False
        super().__setup__()
        for name in cls._common_fields:
            getattr(cls, name).states.update(editable(~Eval('invoices', [])))
        table = cls.__table__()
        cls._order = [('id', 'DESC')]
        cls._sql_indexes.update({
                Index(table, (table.reference, Index.Similarity())),
                Index(table, (table.party, Index.Range())),
                Index(
                    table,
                    (table.work, Index.Range()),
                    where=table.work != Null),
                })
        cls._buttons.update({
                'progress_invoice': {},
                'closing_invoice': {},
                })

    @classmethod
    def view_attributes(cls):
        closed = Eval('state') == 'closed'
        # Hidden only there, for the server tells why it refuses
        return super().view_attributes() + [
            ('/form//group[@id="progress_invoice"]', 'states', {
                    'invisible': closed,
                    }, ['state']),
            ('/form//group[@id="closing_invoice"]', 'states', {
                    'invisible': closed | Bool(Eval('open_invoice')),
                    }, ['state', 'open_invoice']),
            ('/tree', 'visual',
                If(Eval('state') == 'closed', 'muted', '')),
            ]

    @classmethod
    def order_number(cls, tables):
        table, _ = tables[None]
        return [CharLength(table.number), table.number]

    @classmethod
    def default_company(cls):
        return Transaction().context.get('company')

    @classmethod
    def default_currency(cls):
        pool = Pool()
        Company = pool.get('company.company')
        if (company := cls.default_company()) is not None:
            return Company(company).currency.id

    @classmethod
    def default_by_hand(cls):
        return True

    @classmethod
    def default_state(cls):
        return 'open'

    @fields.depends('company')
    def on_change_company(self):
        if self.company:
            self.currency = self.company.currency

    @classmethod
    def get_open_invoice(cls, contracts, name):
        result = dict.fromkeys((c.id for c in contracts))
        for invoice in cls.get_open_documents(contracts):
            if not invoice.progress_credited_invoice:
                result[invoice.progress_contract.id] = invoice.id
        return result

    @classmethod
    def search_open_invoice(cls, name, clause):
        nested = clause[0][len(name) + 1:]
        operator, value, *model = clause[1:]
        is_open = [
            # Without it Tryton compares with those of no contract
            ('progress_contract', '!=', None),
            ('state', 'in', OPEN),
            ('progress_credited_invoice', '=', None),
            ]
        if not nested and operator == '=' and value is None:
            return [('invoices', 'not where', is_open)]
        if not nested:
            nested = 'rec_name' if isinstance(value, str) else 'id'
        return [('invoices', 'where', [
                    *is_open, (nested, operator, value, *model)])]

    @classmethod
    def get_sales(cls, contracts, name):
        "Return the sales whose lines are items of the contracts"
        pool = Pool()
        Invoice = pool.get('account.invoice')
        Line = pool.get('account.invoice.line')
        SaleLine = pool.get('sale.line')
        cursor = Transaction().connection.cursor()
        invoice = Invoice.__table__()
        line = Line.__table__()
        items = []
        for sub_contracts in grouped_slice(contracts, SLICE):
            cursor.execute(*line
                .join(invoice, condition=line.invoice == invoice.id)
                .select(
                    invoice.progress_contract, line.origin,
                    where=fields.SQL_OPERATORS['in'](
                        invoice.progress_contract,
                        [c.id for c in sub_contracts])
                    & (line.progress_line == line.id)
                    & line.origin.like('sale.line,%')))
            items.extend(
                (contract, int(origin.split(',')[1]))
                for contract, origin in cursor)
        result = {c.id: [] for c in contracts}
        sale_lines = SaleLine.browse([l for _, l in items])
        for (contract, _), line in zip(items, sale_lines):
            if line.sale.id not in result[contract]:
                result[contract].append(line.sale.id)
        return result

    @classmethod
    def search_sales(cls, name, clause):
        return [
            ('invoices.lines.origin.sale' + clause[0][len(name):],
                *clause[1:3], 'sale.line', *clause[3:]),
            ]

    @classmethod
    def get_amounts(cls, contracts, names):
        """
        Return what is sold, billed and left of the contracts without taxes

        The total of an item is the last that its live and open documents
        show; what is billed of it is the sum of its live documents and what
        was billed before them.
        """
        pool = Pool()
        Invoice = pool.get('account.invoice')
        Line = pool.get('account.invoice.line')
        cursor = Transaction().connection.cursor()
        invoice = Invoice.__table__()
        line = Line.__table__()
        live = Invoice._live(invoice)
        used = Case((live | invoice.state.in_(OPEN), 1), else_=0)
        current = line.progress_current_amount
        previous = line.progress_previous_amount
        amounts = {}
        for sub_contracts in grouped_slice(contracts, SLICE):
            ranked = (invoice
                .join(line, condition=line.invoice == invoice.id)
                .select(
                    invoice.progress_contract.as_('contract'),
                    line.progress_line.as_('item'),
                    used.as_('used'),
                    line.progress_total_amount.as_('total'),
                    (Case((live, current - previous), else_=0)
                        + Case((line.progress_line == line.id, previous),
                            else_=0)).as_('billed'),
                    RowNumber(window=Window(
                            [invoice.progress_contract, line.progress_line],
                            order_by=[
                                used.desc, invoice.progress_number.desc,
                                line.id.desc])).as_('rank'),
                    where=fields.SQL_OPERATORS['in'](
                        invoice.progress_contract,
                        [c.id for c in sub_contracts])
                    & (line.progress_line != Null)))
            items = ranked.select(
                ranked.contract.as_('contract'),
                Sum(Case((ranked.rank == 1, ranked.total), else_=0)).as_(
                    'total'),
                Sum(ranked.billed).as_('billed'),
                group_by=[ranked.contract, ranked.item],
                having=Max(ranked.used) == 1)
            query = items.select(
                items.contract,
                Sum(items.total).as_('total'),
                Sum(items.billed).as_('billed'),
                group_by=items.contract)
            if backend.name == 'sqlite':
                sqlite_apply_types(query, [None, 'NUMERIC', 'NUMERIC'])
            cursor.execute(*query)
            amounts.update((id_, values) for id_, *values in cursor)
        result = {n: {} for n in names}
        for contract in contracts:
            total, billed = map(
                contract.currency.round,
                amounts.get(contract.id, [Decimal(0)] * 2))
            values = {
                'total_amount': total,
                'billed_amount': billed,
                'remaining_amount': total - billed,
                'progress': get_ratio(billed, total) if total else None,
                }
            for name in names:
                result[name][contract.id] = values[name]
        return result

    @classmethod
    def get_paid_amounts(cls, contracts, names):
        "Return what is paid and to pay of the live documents with taxes"
        documents = cls.get_documents(contracts)
        result = {n: {} for n in names}
        with without_check_access():
            for contract in contracts:
                zero = contract.currency.round(Decimal(0))
                to_pay = sum(
                    (d.amount_to_pay for d in documents[contract.id]), zero)
                total = sum(
                    (d.total_amount for d in documents[contract.id]), zero)
                values = {
                    'paid_amount': total - to_pay,
                    'amount_to_pay': to_pay,
                    }
                for name in names:
                    result[name][contract.id] = values[name]
        return result

    @classmethod
    def get_state(cls, contracts, name):
        closed = cls.get_closed(contracts)
        return {
            c.id: 'closed' if c.id in closed else 'open' for c in contracts}

    @classmethod
    def search_state(cls, name, clause):
        _, operator, value = clause
        Operator = fields.SQL_OPERATORS[operator]
        table = cls.__table__()
        state = Case((cls.is_closed(table.id), 'closed'), else_='open')
        return [('id', 'in', table.select(
                    table.id, where=Operator(state, value)))]

    def get_rec_name(self, name):
        return ' - '.join(filter(None, [
                    self.number, self.party.rec_name, self.description]))

    @classmethod
    def search_rec_name(cls, name, clause):
        _, operator, *_ = clause
        if operator.startswith('!') or operator.startswith('not '):
            bool_op = 'AND'
        else:
            bool_op = 'OR'
        return [bool_op,
            ('number', *clause[1:]),
            ('reference', *clause[1:]),
            ('description', *clause[1:]),
            ('party.rec_name', *clause[1:]),
            ]

    @classmethod
    def preprocess_values(cls, mode, values):
        pool = Pool()
        Configuration = pool.get('account.configuration')
        values = super().preprocess_values(mode, values)
        if mode == 'create' and not values.get('number'):
            company = values.get('company', cls.default_company())
            if company is not None:
                sequence = Configuration(1).get_multivalue(
                    'progress_contract_sequence', company=company)
                values['number'] = sequence.get()
        return values

    @classmethod
    def is_closed(cls, contract):
        """
        Return the SQL expression to test that the contract id is closed:
        its closing invoice is live and has no live credit note.
        """
        pool = Pool()
        Invoice = pool.get('account.invoice')
        closing = Invoice.__table__()
        credit = Invoice.__table__()
        return Exists(closing.select(
                closing.id,
                where=(closing.progress_contract == contract)
                & (closing.progress_closing == True)  # noqa: E712
                & Invoice._live(closing)
                & ~Exists(credit.select(
                        credit.id,
                        where=(
                            credit.progress_credited_invoice == closing.id)
                        & Invoice._live(credit)))))

    @classmethod
    def get_closed(cls, contracts):
        "Return the ids of the contracts that are closed"
        cursor = Transaction().connection.cursor()
        table = cls.__table__()
        cursor.execute(*table.select(
                table.id,
                where=fields.SQL_OPERATORS['in'](
                    table.id, [int(c) for c in contracts])
                & cls.is_closed(table.id)))
        return {id_ for id_, in cursor}

    @classmethod
    def get_documents(cls, contracts, excluded=()):
        "Return the live documents by id of contract from the oldest"
        pool = Pool()
        Invoice = pool.get('account.invoice')
        cursor = Transaction().connection.cursor()
        table = Invoice.__table__()
        ids = []
        for sub_contracts in grouped_slice(contracts, SLICE):
            where = fields.SQL_OPERATORS['in'](
                table.progress_contract, [int(c) for c in sub_contracts])
            if excluded:
                where &= ~table.id.in_([int(i) for i in excluded])
            cursor.execute(*table.select(
                    table.id,
                    where=where & Invoice._live(table),
                    order_by=[table.progress_number.asc, table.id.asc]))
            ids.extend(id_ for id_, in cursor)
        documents = defaultdict(list)
        for invoice in Invoice.browse(ids):
            documents[invoice.progress_contract.id].append(invoice)
        return documents

    @property
    def last_document(self):
        "The last live document, if any"
        return (self.get_documents([self])[self.id] or [None])[-1]

    @classmethod
    def get_open_documents(cls, contracts):
        "Return the open documents of all the contracts"
        pool = Pool()
        Invoice = pool.get('account.invoice')
        return Invoice.search([
                ('progress_contract', 'in', [int(c) for c in contracts]),
                ('state', 'in', OPEN),
                ])

    def check_open(self, invoice=None):
        "Check no other invoice is open on the contract"
        for open_ in self.get_open_documents([self]):
            if open_ == invoice or open_.progress_credited_invoice:
                continue
            raise ProgressContractError(gettext(
                    'project_progress_invoice.msg_progress_open',
                    contract=self.rec_name,
                    open=open_.rec_name))

    @classmethod
    def check_modification(cls, mode, contracts, values=None, external=False):
        super().check_modification(
            mode, contracts, values=values, external=external)
        if mode == 'delete':
            cls.check_without_documents(contracts)
        elif mode == 'write' and external:
            cls.check_without_documents([
                    c for c in contracts
                    if any(values[n] != getattr(c, n).id
                        for n in cls._common_fields & values.keys())])

    @classmethod
    def check_without_documents(cls, contracts):
        for contract in contracts:
            if contract.invoices:
                raise ProgressAccessError(gettext(
                        'project_progress_invoice.msg_contract_documents',
                        contract=contract.rec_name,
                        document=contract.invoices[-1].rec_name))

    @classmethod
    def delete_unused(cls, contracts):
        "Delete those that a document made and that have none any more"
        with without_check_access():
            cls.delete(cls.search([
                        ('id', 'in', [c.id for c in contracts]),
                        ('by_hand', '=', False),
                        ('invoices', '=', None),
                        ]))

    @classmethod
    def copy(cls, contracts, default=None):
        default = default.copy() if default is not None else {}
        default.setdefault('number')
        default.setdefault('by_hand', True)
        default.setdefault('invoices')
        return super().copy(contracts, default=default)

    @classmethod
    @ModelView.button_action('project_progress_invoice.act_progress_invoice')
    def progress_invoice(cls, contracts):
        return {'res_id': [i.id for i in cls.bill(contracts)]}

    @classmethod
    @ModelView.button_action('project_progress_invoice.act_progress_invoice')
    def closing_invoice(cls, contracts):
        return {'res_id': [i.id for i in cls.bill(contracts, closing=True)]}

    @classmethod
    def bill(cls, contracts, closing=False):
        """
        Return an open invoice of each contract

        It is the one that is open, else the next, else the first.  The
        closing one is always new.
        """
        pool = Pool()
        Invoice = pool.get('account.invoice')
        lock_together([*contracts, *(s for c in contracts for s in c.sales)])
        invoices = []
        for contract in contracts:
            if not closing and contract.open_invoice:
                invoices.append(contract.open_invoice)
            elif document := contract.last_document:
                invoices.extend(Invoice.create_next_progress(
                        [document], closing=closing))
            else:
                contract.check_open()
                invoice = contract.get_first_invoice()
                invoice.progress_closing = closing
                invoice.save()
                invoices.append(invoice)
        return invoices

    def get_first_invoice(self):
        "Return an invoice of the contract without lines"
        pool = Pool()
        Invoice = pool.get('account.invoice')
        invoice = Invoice(
            type='out', company=self.company, currency=self.currency,
            party=self.party, description=self.description,
            reference=self.reference)
        invoice.on_change_type()
        invoice.progress = True
        invoice.progress_contract = self
        return invoice
