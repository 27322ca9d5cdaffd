# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
from collections import defaultdict

from sql import Null
from sql.functions import CharLength
from sql.operators import Exists
from trytond.i18n import gettext
from trytond.model import Index, ModelSQL, ModelView, fields
from trytond.modules.company.model import CompanyValueMixin
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Eval, Id
from trytond.tools import grouped_slice
from trytond.transaction import Transaction, without_check_access

from .common import OPEN, SLICE, ReadonlyMixin, editable
from .exceptions import ProgressAccessError, ProgressContractError


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

    @fields.depends('company')
    def on_change_company(self):
        if self.company:
            self.currency = self.company.currency

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
