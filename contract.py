# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
import math
from collections import defaultdict, namedtuple
from decimal import Decimal

from sql import Null
from sql.aggregate import Max, Sum
from sql.conditionals import Case, Coalesce
from sql.functions import CharLength
from sql.operators import Exists
from trytond import backend
from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, fields, sequence_ordered
from trytond.modules.company.model import CompanyValueMixin
from trytond.modules.currency.fields import Monetary
from trytond.modules.product import price_digits
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval, Id, If
from trytond.tools import firstline, grouped_slice, sqlite_apply_types
from trytond.transaction import Transaction, without_check_access

from .common import (
    OPEN, SLICE, ReadonlyMixin, check_write_access, editable, lock_together,
    to_quantity)
from .exceptions import (
    ProgressAccessError, ProgressContractError, ProgressCreditError,
    ProgressLineError)
from .progress import Item, get_ratio, same_quantity

# What the live documents billed of an item: quantities as Decimal in its
# unit, what was billed before Tryton included and apart, and the ids of the
# last line that bills it and of the last that is no credit
Billed = namedtuple('Billed', [
        'quantity', 'amount', 'unit_price', 'opening', 'paid', 'line',
        'invoice_line', 'used'])


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
    _readonly_fields = {'number', 'by_hand', 'original_amount_cache'}

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
    lines = fields.One2Many(
        'account.progress_contract.line', 'contract', "Lines",
        states=editable(Eval('state') != 'closed'),
        help="What is sold, in the order in which it is billed.")
    invoices = fields.One2Many(
        'account.invoice', 'progress_contract', "Documents", readonly=True,
        order=[('progress_number', 'ASC'), ('id', 'ASC')])
    open_invoice = fields.Function(
        fields.Many2One('account.invoice', "Open Invoice"),
        'get_open_invoice', searcher='search_open_invoice')
    sales = fields.Function(
        fields.Many2Many('sale.sale', None, None, "Sales"),
        'get_sales', searcher='search_sales')
    original_amount_cache = Monetary(
        "Original Amount Cache", currency='currency', digits='currency',
        readonly=True)
    original_amount = fields.Function(
        Monetary(
            "Original", currency='currency', digits='currency',
            help="What was sold without taxes when it was first billed."),
        'get_amounts')
    change_amount = fields.Function(
        Monetary(
            "Changes", currency='currency', digits='currency',
            help="What was added, removed or repriced since without taxes."),
        'get_amounts')
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
        Line = pool.get('account.progress_contract.line')
        SaleLine = pool.get('sale.line')
        cursor = Transaction().connection.cursor()
        table = Line.__table__()
        items = []
        for sub_contracts in grouped_slice(contracts, SLICE):
            cursor.execute(*table.select(
                    table.contract, table.origin,
                    where=fields.SQL_OPERATORS['in'](
                        table.contract, [c.id for c in sub_contracts])
                    & table.origin.like('sale.line,%'),
                    order_by=[table.sequence.nulls_first, table.id]))
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
            ('lines.origin.sale' + clause[0][len(name):],
                *clause[1:3], 'sale.line', *clause[3:]),
            ]

    @classmethod
    def get_amounts(cls, contracts, names):
        "Return what is sold, billed and left of the contracts without taxes"
        pool = Pool()
        Line = pool.get('account.progress_contract.line')
        totals, billed = Line.get_sums(contracts)
        result = {n: {} for n in names}
        for contract in contracts:
            total = contract.currency.round(totals[contract.id])
            billed_ = contract.currency.round(billed[contract.id])
            original = contract.original_amount_cache
            if original is None:
                original = total
            values = {
                'original_amount': original,
                'change_amount': total - original,
                'total_amount': total,
                'billed_amount': billed_,
                'remaining_amount': total - billed_,
                'progress': get_ratio(billed_, total) if total else None,
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

    def is_of(self, invoice):
        "Return if the invoice has what the documents have in common"
        return all(
            getattr(self, n) == getattr(invoice, n)
            for n in self._common_fields)

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
    def write(cls, *args):
        pool = Pool()
        Line = pool.get('account.progress_contract.line')
        super().write(*args)
        for contracts, values in zip(args[::2], args[1::2]):
            if 'currency' in values:
                with without_check_access():
                    # Their amounts are rounded to it
                    Line.write(
                        [l for c in cls.browse(contracts) for l in c.lines],
                        {'amount': None})

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
        "Delete those that a document or a sale made and that are empty"
        with without_check_access():
            cls.delete(cls.search([
                        ('id', 'in', [c.id for c in contracts]),
                        ('by_hand', '=', False),
                        ('invoices', '=', None),
                        ('lines', '=', None),
                        ]))

    @classmethod
    def copy(cls, contracts, default=None):
        default = default.copy() if default is not None else {}
        default.setdefault('number')
        default.setdefault('by_hand', True)
        default.setdefault('original_amount_cache')
        default.setdefault('invoices')
        default.setdefault('lines')
        return super().copy(contracts, default=default)

    @classmethod
    def process(cls, contracts):
        """
        Let follow what changed: the items what the sales gained, the drafts
        what is sold and billed

        It must be called when the live documents, the items or the lines of
        their sales changed.
        """
        pool = Pool()
        Invoice = pool.get('account.invoice')
        Line = pool.get('account.progress_contract.line')
        if not contracts:
            return
        with without_check_access():
            contracts = cls.browse(list({int(c) for c in contracts}))
            Line.add_sale_lines(contracts)
            cls._store_original(contracts)
            Invoice.update_progress(contracts)

    @classmethod
    def _store_original(cls, contracts):
        "Keep what is sold when the first document is posted"
        contracts = [c for c in contracts if c.original_amount_cache is None]
        if not contracts:
            return
        documents = cls.get_documents(contracts)
        to_write = []
        for contract in contracts:
            if documents[contract.id]:
                to_write.extend(([contract], {
                            'original_amount_cache': contract.total_amount}))
        if to_write:
            cls.write(*to_write)

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


class ContractLine(sequence_ordered(), ReadonlyMixin, ModelSQL, ModelView):
    __name__ = 'account.progress_contract.line'
    _readonly_fields = {'origin', 'brought_by'}
    _states = {
        'invisible': Eval('type') != 'line',
        }

    contract = fields.Many2One(
        'account.progress_contract', "Contract", required=True,
        ondelete='CASCADE')
    company = fields.Function(
        fields.Many2One('company.company', "Company"),
        'on_change_with_company', searcher='search_company')
    currency = fields.Function(
        fields.Many2One('currency.currency', "Currency"),
        'on_change_with_currency')
    type = fields.Selection([
            ('line', "Line"),
            ('subtotal', "Subtotal"),
            ('title', "Title"),
            ('comment', "Comment"),
            ], "Type", required=True)
    origin = fields.Reference(
        "Origin", selection='get_origin', readonly=True,
        help="The line of the sale.")
    product = fields.Many2One(
        'product.product', "Product", ondelete='RESTRICT',
        domain=[
            If(Bool(Eval('product_uom_category')),
                ('default_uom_category', '=', Eval('product_uom_category')),
                ()),
            ],
        states=_states,
        context={
            'company': Eval('company', None),
            },
        depends={'company'})
    product_uom_category = fields.Function(
        fields.Many2One('product.uom.category', "Product UoM Category"),
        'on_change_with_product_uom_category')
    description = fields.Text("Description")
    summary = fields.Function(
        fields.Char("Item", help="The text of the line or its product."),
        'on_change_with_summary')
    quantity = fields.Float(
        "Total",
        states={
            **_states,
            'required': Eval('type') == 'line',
            },
        help="The quantity that is sold.")
    unit = fields.Many2One(
        'product.uom', "Unit", ondelete='RESTRICT',
        domain=[
            If(Bool(Eval('product_uom_category')),
                ('category', '=', Eval('product_uom_category')),
                ('category', '!=', -1)),
            ],
        states={
            **_states,
            'required': Bool(Eval('product')),
            })
    unit_price = Monetary(
        "Unit Price", currency='currency', digits=price_digits,
        states={
            **_states,
            'required': Eval('type') == 'line',
            })
    taxes = fields.Many2Many(
        'account.progress_contract.line-account.tax', 'line', 'tax', "Taxes",
        order=[('tax.sequence', 'ASC'), ('tax.id', 'ASC')],
        domain=[
            ('parent', '=', None),
            ['OR',
                ('group', '=', None),
                ('group.kind', 'in', ['sale', 'both']),
                ],
            ('company', '=', Eval('company', -1)),
            ],
        states=_states)
    account = fields.Many2One(
        'account.account', "Account", ondelete='RESTRICT',
        domain=[
            ('closed', '!=', True),
            ('company', '=', Eval('company', -1)),
            ('type.revenue', '=', True),
            ],
        states={
            **_states,
            'required': Eval('type') == 'line',
            })
    amount = Monetary(
        "Amount", currency='currency', digits='currency',
        states={
            **_states,
            **editable(False),
            })
    opening_quantity = fields.Float(
        "Billed Before", states=_states,
        help="The quantity that was billed before Tryton.")
    opening_amount = Monetary(
        "Amount Billed Before", currency='currency', digits='currency',
        states=_states,
        help="What was billed before Tryton without taxes.")
    brought_by = fields.Many2One(
        'account.invoice', "Brought by", readonly=True, ondelete='SET NULL',
        help="The draft that brought the item.\n"
        "If it is deleted, the item is deleted.")
    change_order = fields.Char(
        "Change Order", states=_states,
        help="What ordered the item after the first document was posted.")
    invoice_lines = fields.One2Many(
        'account.invoice.line', 'progress_line', "Invoice Lines",
        readonly=True)
    billed_quantity = fields.Function(
        fields.Float("Billed Quantity", states=_states), 'get_figures')
    billed_amount = fields.Function(
        Monetary(
            "Billed", currency='currency', digits='currency', states=_states),
        'get_figures')
    progress = fields.Function(
        fields.Float("Progress", digits=(None, 4), states=_states),
        'get_figures')
    completed = fields.Function(
        fields.Boolean(
            "Completed", states=_states, help="If no more is to be billed."),
        'get_figures')
    finished = fields.Function(
        fields.Boolean(
            "Finished", states=_states,
            help="If it is billed in full or completed, or if the contract "
            "is closed."),
        'get_figures')

    del _states

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.__access__.add('contract')
        table = cls.__table__()
        cls._sql_indexes.update({
                Index(table, (table.contract, Index.Range())),
                Index(
                    table,
                    (table.origin, Index.Equality()),
                    where=table.origin != Null),
                Index(
                    table,
                    (table.brought_by, Index.Range()),
                    where=table.brought_by != Null),
                })
        closed = Eval('_parent_contract', {}).get('state') == 'closed'
        for name in [
                'type', 'product', 'description', 'quantity', 'unit',
                'unit_price', 'taxes', 'account', 'opening_quantity',
                'opening_amount', 'change_order']:
            field = getattr(cls, name)
            field.states = {**field.states, **editable(~closed)}
            field.depends.add('contract')

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('/tree', 'visual', If(Bool(Eval('finished')), 'muted', '')),
            ]

    @classmethod
    def default_type(cls):
        return 'line'

    @classmethod
    def default_opening_quantity(cls):
        return 0

    @classmethod
    def get_origin(cls):
        pool = Pool()
        IrModel = pool.get('ir.model')
        return [(None, ''), ('sale.line', IrModel.get_name('sale.line'))]

    @fields.depends('contract', '_parent_contract.company')
    def on_change_with_company(self, name=None):
        return self.contract.company if self.contract else None

    @classmethod
    def search_company(cls, name, clause):
        return [('contract.' + clause[0], *clause[1:])]

    @fields.depends('contract', '_parent_contract.currency')
    def on_change_with_currency(self, name=None):
        return self.contract.currency if self.contract else None

    @fields.depends('product')
    def on_change_with_product_uom_category(self, name=None):
        return self.product.default_uom_category if self.product else None

    @fields.depends('description', 'product')
    def on_change_with_summary(self, name=None):
        return firstline(self.description or '') or (
            self.product.rec_name if self.product else '')

    @fields.depends(
        'contract', '_parent_contract.party', '_parent_contract.company',
        'product', 'unit', 'account', 'taxes')
    def on_change_product(self):
        pool = Pool()
        InvoiceLine = pool.get('account.invoice.line')
        if not self.product:
            return
        contract = self.contract
        line = InvoiceLine(
            invoice=None, invoice_type='out', origin=None, account=None,
            party=contract.party if contract else None,
            company=contract.company if contract else None,
            product=self.product, unit=self.unit, taxes=[])
        line.on_change_product()
        for name in ['unit', 'account', 'taxes']:
            setattr(self, name, getattr(line, name))

    @fields.depends(
        'type', 'quantity', 'unit_price', 'contract',
        '_parent_contract.currency')
    def _get_value(self, quantity):
        "Return what the quantity is worth at the price of the item"
        if (self.type != 'line'
                or not math.isfinite(quantity or 0)):
            # It is refused when saved
            return None
        currency = self.contract.currency if self.contract else None
        return Item(
            to_quantity(self.quantity), self.unit_price or Decimal(0),
            currency.round if currency else Decimal).get_value(
                to_quantity(quantity))

    @fields.depends('quantity', methods=['_get_value'])
    def on_change_with_amount(self):
        if math.isfinite(self.quantity or 0):
            return self._get_value(self.quantity)

    @fields.depends('opening_quantity', methods=['_get_value'])
    def on_change_opening_quantity(self):
        self.opening_amount = self._get_value(self.opening_quantity)

    def get_rec_name(self, name):
        return f'{self.summary} @ {self.contract.rec_name}'

    @classmethod
    def search_rec_name(cls, name, clause):
        _, operator, *_ = clause
        if operator.startswith('!') or operator.startswith('not '):
            bool_op = 'AND'
        else:
            bool_op = 'OR'
        return [bool_op,
            ('description', *clause[1:]),
            ('product.rec_name', *clause[1:]),
            ('contract.rec_name', *clause[1:]),
            ]

    @property
    def is_dormant(self):
        "If what brought it, a draft or its sale, is cancelled"
        if self.is_sold:
            return self.origin.sale.state in {'draft', 'cancelled'}
        return bool(self.brought_by and self.brought_by.state == 'cancelled')

    def get_item(self, billed):
        "Return the Item that a document bills after what is billed"
        return Item(
            to_quantity(self.quantity), self.unit_price or Decimal(0),
            self.currency.round,
            billed.quantity, billed.amount, billed.unit_price)

    @classmethod
    def get_billed(cls, lines, excluded=()):
        """
        Return by id of the lines a namedtuple of what live documents but the
        excluded ones billed of each

        quantity and amount are what is billed to date, opening the quantity
        billed before Tryton, or of a manual sale by ordinary invoices, which
        the quantity has too; unit_price is the last at which it was billed,
        None if it was not; paid is the quantity of the paid ones; line and
        invoice_line the ids of the last line and of the last that is no
        credit; used tells if a document is live or open.
        """
        pool = Pool()
        Invoice = pool.get('account.invoice')
        InvoiceLine = pool.get('account.invoice.line')
        cursor = Transaction().connection.cursor()
        table = InvoiceLine.__table__()
        invoice = Invoice.__table__()
        is_open = invoice.state.in_(OPEN)
        bills = ~is_open
        amount = table.progress_current_amount - table.progress_previous_amount
        groups = defaultdict(list)
        for sub_lines in grouped_slice(lines, SLICE):
            where = fields.SQL_OPERATORS['in'](
                table.progress_line, [int(l) for l in sub_lines])
            where &= is_open | Invoice._live(invoice)
            if excluded:
                where &= ~invoice.id.in_([int(i) for i in excluded])
            query = (table
                .join(invoice, condition=table.invoice == invoice.id)
                .select(
                    table.progress_line,
                    table.unit_price.as_('unit_price'),
                    Sum(Case((bills, table.quantity), else_=0)).as_(
                        'quantity'),
                    Sum(Case((bills, amount), else_=0)).as_('amount'),
                    Sum(Case((invoice.state == 'paid', table.quantity),
                            else_=0)).as_('paid'),
                    Max(Case((bills, table.id), else_=Null)).as_('line'),
                    Max(Case(
                            (bills
                                & (invoice.progress_credited_invoice == Null),
                                table.id),
                            else_=Null)).as_('invoice_line'),
                    where=where,
                    group_by=[table.progress_line, table.unit_price]))
            if backend.name == 'sqlite':
                sqlite_apply_types(query, [
                        None, 'NUMERIC', None, 'NUMERIC', None, None, None])
            cursor.execute(*query)
            for id_, *values in cursor:
                groups[id_].append(values)
        result = {}
        lines = cls.browse([int(l) for l in lines])
        openings = cls._get_openings(lines)
        for line in lines:
            values = groups[line.id]
            opening, opening_amount, opening_paid = openings[line.id]
            # A price whose documents are all credited bills nothing
            prices = [
                (line_, price)
                for price, quantity, amount, _, line_, _ in values
                if line_ and (to_quantity(quantity) or amount)]

            result[line.id] = Billed(
                to_quantity(sum(v[1] or 0 for v in values)) + opening,
                line.currency.round(
                    sum(v[2] or 0 for v in values) + opening_amount),
                max(prices)[1] if prices else None,
                opening,
                to_quantity(sum(v[3] or 0 for v in values)) + opening_paid,
                *(max((v[i] for v in values if v[i]), default=None)
                    for i in [4, 5]),
                bool(values))
        return result

    @classmethod
    def _get_openings(cls, lines):
        """
        Return by id of the lines the quantity, the amount and the paid
        quantity that were billed before the contract
        """
        pool = Pool()
        InvoiceLine = pool.get('account.invoice.line')
        origins = [l.origin for l in lines if l.is_sold]
        ordinary = InvoiceLine.get_ordinary_billed(origins)
        paid = (
            InvoiceLine.get_ordinary_billed(origins, states=['paid'])
            if ordinary else {})
        result = {}
        for line in lines:
            if line.is_sold and line.origin.id in ordinary:
                quantity, amount = ordinary[line.origin.id]
                result[line.id] = (quantity, amount, paid[line.origin.id][0])
            else:
                quantity = to_quantity(line.opening_quantity)
                result[line.id] = (
                    quantity, line.opening_amount or Decimal(0), quantity)
        return result

    @property
    def is_opening_derived(self):
        "If the amount billed before is the one of the quantity"
        return self.opening_amount == self._get_value(self.opening_quantity)

    @property
    def is_manual(self):
        "If ordinary invoices of its sale bill it as well"
        return self.is_sold and self.origin.sale.invoice_method == 'manual'

    @property
    def is_sold(self):
        "If it comes from a sale"
        pool = Pool()
        SaleLine = pool.get('sale.line')
        return isinstance(self.origin, SaleLine)

    @classmethod
    def get_sums(cls, contracts):
        """
        Return what is sold and what is billed without taxes as two
        dictionaries by id of contract
        """
        pool = Pool()
        Invoice = pool.get('account.invoice')
        InvoiceLine = pool.get('account.invoice.line')
        cursor = Transaction().connection.cursor()
        table = cls.__table__()
        brought_by = Invoice.__table__()
        invoice = Invoice.__table__()
        line = InvoiceLine.__table__()
        totals = defaultdict(Decimal)
        billed = defaultdict(Decimal)
        for sub_contracts in grouped_slice(contracts, SLICE):
            ids = [int(c) for c in sub_contracts]
            query = (table
                .join(brought_by, 'LEFT',
                    condition=table.brought_by == brought_by.id)
                .select(
                    table.contract.as_('contract'),
                    Sum(table.amount).as_('total'),
                    Sum(Coalesce(table.opening_amount, 0)).as_('opening'),
                    where=fields.SQL_OPERATORS['in'](table.contract, ids)
                    & (table.type == 'line')
                    & ((table.origin != Null)
                        | (brought_by.id == Null)
                        | (brought_by.state != 'cancelled')),
                    group_by=table.contract))
            if backend.name == 'sqlite':
                sqlite_apply_types(query, [None, 'NUMERIC', 'NUMERIC'])
            cursor.execute(*query)
            for id_, total, opening in cursor:
                totals[id_] += total
                billed[id_] += opening
            query = (invoice
                .join(line, condition=line.invoice == invoice.id)
                .select(
                    invoice.progress_contract.as_('contract'),
                    Sum(line.progress_current_amount
                        - line.progress_previous_amount).as_('billed'),
                    where=fields.SQL_OPERATORS['in'](
                        invoice.progress_contract, ids)
                    & (line.progress_current_amount != Null)
                    & Invoice._live(invoice),
                    group_by=invoice.progress_contract))
            if backend.name == 'sqlite':
                sqlite_apply_types(query, [None, 'NUMERIC'])
            cursor.execute(*query)
            for id_, amount in cursor:
                billed[id_] += amount
        with without_check_access():
            manual = cls.search([
                    ('contract', 'in', [int(c) for c in contracts]),
                    ('origin.sale.invoice_method', '=', 'manual',
                        'sale.line'),
                    ], order=[])
            ordinary = InvoiceLine.get_ordinary_billed(
                [l.origin for l in manual])
            for item in manual:
                if item.origin.id in ordinary:
                    billed[item.contract.id] += ordinary[item.origin.id][1]
        return totals, billed

    @classmethod
    def get_figures(cls, lines, names):
        "Return what is billed of the lines and if there is more to bill"
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        result = {n: dict.fromkeys((l.id for l in lines)) for n in names}
        with without_check_access():
            lines = [l for l in cls.browse(lines) if l.type == 'line']
            billed = cls.get_billed(lines)
            completed = cls.get_completed(billed)
            closed = Contract.get_closed({l.contract for l in lines})
            for line in lines:
                billed_ = billed[line.id]
                item = line.get_item(billed_)
                values = {
                    'billed_quantity': float(billed_.quantity),
                    'billed_amount': billed_.amount,
                    'progress': item.get_ratio(item.previous),
                    'completed': line.id in completed,
                    'finished': (
                        line.contract.id in closed
                        or line.id in completed
                        or line.is_billed(billed_)),
                    }
                for name in names:
                    result[name][line.id] = values[name]
        return result

    @classmethod
    def get_completed(cls, billed):
        "Return the ids of those of get_billed whose last line is completed"
        pool = Pool()
        InvoiceLine = pool.get('account.invoice.line')
        last = {
            b.invoice_line: id_ for id_, b in billed.items()
            if b.invoice_line}
        return {
            last[l.id] for l in InvoiceLine.browse(list(last))
            if l.progress_completed and same_quantity(
                to_quantity(l.progress_current_quantity),
                billed[last[l.id]].quantity)}

    def is_billed(self, billed):
        "Return if all is billed, at its price"
        return bool(
            same_quantity(to_quantity(self.quantity), billed.quantity)
            and billed.unit_price in {None, self.unit_price})

    @classmethod
    def get_values(cls, line):
        "Return the values of the item of the line of an invoice or of a sale"
        values = {
            'type': line.type,
            'origin': (
                str(line.origin) if getattr(line, 'origin', None) else None),
            }
        for name in ['sequence', 'description', 'unit_price']:
            values[name] = getattr(line, name, None)
        for name in ['product', 'unit', 'account']:
            record = getattr(line, name, None)
            values[name] = record.id if record else None
        if line.type == 'line':
            values['quantity'] = line.quantity or 0
        return values

    def get_invoice_line(self, invoice):
        "Return the line that bills the item for the first time on the draft"
        pool = Pool()
        InvoiceLine = pool.get('account.invoice.line')
        if self.is_sold:
            line = self.origin.get_progress_invoice_line()
        else:
            line = InvoiceLine(
                type=self.type,
                invoice_type=invoice.type,
                company=invoice.company,
                currency=invoice.currency)
        line.invoice = invoice
        line.progress_line = self
        line.sequence = self.sequence
        for name in InvoiceLine._item_fields:
            setattr(line, name, getattr(self, name))
        if self.type == 'line':
            line.taxes = self.taxes
            line.quantity = self.quantity
        return line

    @classmethod
    def add_sale_lines(cls, contracts):
        "Let be items the lines that the sales of the contracts gained"
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        SaleLine = pool.get('sale.line')
        sales = {}
        for id_, sale_ids in Contract.get_sales(contracts, 'sales').items():
            sales.update(dict.fromkeys(sale_ids, id_))
        if not sales:
            return
        closed = Contract.get_closed(contracts)
        gained = [
            l for l in SaleLine.search([
                    ('sale', 'in', list(sales)),
                    ('sale.state', 'in', [
                            'quotation', 'confirmed', 'processing', 'done']),
                    ('progress_lines', '=', None),
                    ('out_of_contract', '!=', True),
                    ])
            if sales[l.sale.id] not in closed]
        if not gained:
            return
        last = {}
        for item in cls.search([
                    ('origin.sale', 'in', list({l.sale.id for l in gained}),
                        'sale.line'),
                    ]):
            last[item.origin.sale] = item.sequence
        cls.create([
                l.get_progress_item(
                    contract=sales[l.sale.id], sequence=last[l.sale])
                for l in gained])

    @classmethod
    def delete_unused(cls, lines):
        "Delete those that no line of an invoice bills any more"
        with without_check_access():
            cls.delete(cls.search([
                        ('id', 'in', [int(l) for l in lines]),
                        ('invoice_lines', '=', None),
                        ]))

    # What the documents show
    _shown_fields = {
        'type', 'contract', 'sequence', 'product', 'description', 'quantity',
        'unit', 'unit_price', 'taxes', 'account', 'opening_quantity',
        'opening_amount'}
    # The fields from which others derive
    _derived_from = {
        'type', 'contract', 'quantity', 'unit_price', 'opening_quantity',
        'amount'}

    @classmethod
    def create(cls, vlist):
        check_write_access(cls, 'create', *vlist)
        with without_check_access():
            vlist = [cls._complete(v) for v in vlist]
        lines = super().create(vlist)
        cls._set_out_of_contract(lines, False)
        return lines

    @classmethod
    def _set_out_of_contract(cls, lines, out):
        "Tell if the lines of the sales are to be items when processed"
        pool = Pool()
        SaleLine = pool.get('sale.line')
        with without_check_access():
            sale_lines = [
                l.origin for l in cls.browse(lines)
                if l.is_sold and bool(l.origin.out_of_contract) != out]
            if sale_lines:
                SaleLine.write(sale_lines, {'out_of_contract': out})

    @classmethod
    def _complete(cls, values):
        "Return the values with those that the client sends as well"
        values = values.copy()
        type_ = values.setdefault('type', cls.default_type())
        record = cls(**dict.fromkeys([
                    *cls._derived_from, 'product', 'unit', 'account']))
        record.taxes = []
        for name in [
                *cls._derived_from, 'product', 'unit', 'account',
                'description']:
            if name in values:
                setattr(record, name, values[name])
        record.type = type_
        if type_ == 'line':
            values.setdefault('quantity', 0)
            if record.product and not {
                    'unit', 'account', 'taxes'} <= values.keys():
                record.on_change_product()
                values.setdefault(
                    'unit', record.unit.id if record.unit else None)
                values.setdefault(
                    'account', record.account.id if record.account else None)
                values.setdefault(
                    'taxes', [('add', [t.id for t in record.taxes])])
            if not values.get('account'):
                values['account'] = record._get_default_account()
        record._derive(values)
        return values

    def _get_default_account(self):
        pool = Pool()
        Configuration = pool.get('account.configuration')
        account = Configuration(1).get_multivalue(
            'default_category_account_revenue',
            company=self.contract.company.id if self.contract else None)
        return account.id if account else None

    def _derive(self, values, line=None):
        "Complete the values typed on the line with what derives from them"
        for name in ['quantity', 'opening_quantity', 'unit_price']:
            value = values.get(name)
            if value is not None and not math.isfinite(value):
                raise ProgressLineError(gettext(
                        'project_progress_invoice.msg_item_not_a_number',
                        **self.__names__(field=name)))
        values['amount'] = self.on_change_with_amount()
        if 'opening_amount' not in values and (
                line is None or line.is_opening_derived):
            # It was not typed
            values['opening_amount'] = self._get_value(self.opening_quantity)

    @classmethod
    def write(cls, *args):
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        check_write_access(cls, 'write', *args[1::2])
        # What was typed on a document is checked there
        typed = Transaction().context.get('_progress_typed')
        with without_check_access():
            lines = cls.browse(sum(map(list, args[::2]), []))
            contracts = {l.contract for l in lines}
            typed = typed or not any(
                v.keys() & cls._shown_fields for v in args[1::2])
            if not typed:
                lock_together([
                        *contracts, *(s for c in contracts for s in c.sales)])
            actions = []
            for sub_lines, values in zip(args[::2], args[1::2]):
                if not sub_lines or not values.keys() & cls._derived_from:
                    actions.extend((sub_lines, values))
                    continue
                for line, record in zip(
                        cls.browse(sub_lines), cls.browse(sub_lines)):
                    for name in cls._derived_from & values.keys():
                        setattr(record, name, values[name])
                    actions.extend(([line], values.copy()))
                    record._derive(actions[-1], line)
        super().write(*actions)
        if not typed:
            with without_check_access():
                cls._check_billed(cls.browse(lines))
                Contract.process(contracts)
                cls._process_sales(contracts)

    @classmethod
    def check_billed(cls, contracts):
        "Check the live documents bill between nothing and what is sold"
        cls._check_billed(cls.search([
                    ('contract', 'in', [int(c) for c in contracts]),
                    ('type', '=', 'line'),
                    ]), ProgressCreditError, 'msg_billed_range')

    @classmethod
    def _check_billed(
            cls, lines, error=ProgressLineError,
            message='msg_item_below_billed'):
        "Check no more is billed than is sold"
        lines = [l for l in lines if l.type == 'line']
        billed = cls.get_billed(lines)
        for line in lines:
            item = line.get_item(billed[line.id])
            if item.get_fault(item.previous):
                raise error(gettext(
                        f'project_progress_invoice.{message}',
                        line=line.rec_name,
                        billed=float(item.previous),
                        total=line.quantity))

    @classmethod
    def _process_sales(cls, contracts):
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        Sale = pool.get('sale.sale')
        sales = {
            s for ids in Contract.get_sales(contracts, 'sales').values()
            for s in ids}
        if sales:
            Sale.__queue__.process(Sale.browse(list(sales)))

    @classmethod
    def check_modification(cls, mode, lines, values=None, external=False):
        super().check_modification(
            mode, lines, values=values, external=external)
        if mode == 'delete':
            cls._check_unused(lines)
        elif mode == 'write' and external:
            with without_check_access():
                cls._check_typed(cls.browse(lines), values)

    @classmethod
    def _check_unused(cls, lines):
        "Check no live or open document bills the lines"
        billed = cls.get_billed(lines)
        for line in lines:
            if billed[line.id].used:
                raise ProgressAccessError(gettext(
                        'project_progress_invoice.msg_item_used',
                        line=line.rec_name))

    @classmethod
    def _check_typed(cls, lines, values):
        "Refuse what can not be changed of what is billed"
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        closed = Contract.get_closed({l.contract for l in lines})
        billed = cls.get_billed(lines)
        for line in lines:
            if line.contract.id in closed:
                raise ProgressAccessError(gettext(
                        'project_progress_invoice.msg_item_closed',
                        line=line.rec_name,
                        contract=line.contract.rec_name))
            fixed = {'contract', 'type'} if billed[line.id].used else set()
            if billed[line.id].line:
                fixed |= {'unit', 'opening_quantity', 'opening_amount'}
            for name in fixed & values.keys():
                value = getattr(line, name)
                if getattr(value, 'id', value) != values[name]:
                    raise ProgressAccessError(gettext(
                            'project_progress_invoice.msg_item_fixed',
                            line=line.rec_name,
                            **cls.__names__(field=name)))

    @classmethod
    def delete(cls, lines):
        if Transaction().check_access:
            # A user frees the lines of the sales
            cls._set_out_of_contract(lines, True)
        super().delete(lines)

    @classmethod
    def on_delete(cls, lines):
        callbacks = super().on_delete(lines)
        pool = Pool()
        Sale = pool.get('sale.sale')
        sales = {l.origin.sale.id for l in lines if l.is_sold}
        if sales:
            callbacks.append(
                lambda: Sale.__queue__.process(Sale.browse(list(sales))))
        return callbacks


class ContractLineTax(ModelSQL):
    __name__ = 'account.progress_contract.line-account.tax'

    line = fields.Many2One(
        'account.progress_contract.line', "Contract Line",
        ondelete='CASCADE', required=True)
    tax = fields.Many2One(
        'account.tax', "Tax", ondelete='RESTRICT', required=True)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.__access__.add('line')
