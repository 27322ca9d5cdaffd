# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
import math
from bisect import bisect
from collections import defaultdict, namedtuple
from decimal import Decimal
from itertools import chain

from lxml import etree
from sql import Null
from sql.aggregate import Sum
from sql.conditionals import Case
from sql.functions import CurrentTimestamp
from sql.operators import Exists
from trytond import backend
from trytond.bus import notify
from trytond.i18n import gettext
from trytond.model import Index, ModelView, fields
from trytond.modules.currency.fields import Monetary
from trytond.modules.product import price_digits
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval, If, PYSONEncoder
from trytond.tools import firstline, grouped_slice, sqlite_apply_types
from trytond.transaction import Transaction, check_access, without_check_access
from trytond.wizard import Button, StateTransition, StateView, Wizard

from .billing import has_fixed_tax, set_base
from .common import (
    OPEN, SLICE, check_readonly, check_write_access, editable, let_readonly,
    lock_together, to_quantity)
from .exceptions import (
    ProgressAccessError, ProgressChangedError, ProgressCompletedError,
    ProgressContractError, ProgressCreditError, ProgressLineError)
from .progress import Item, get_part, get_ratio, same_quantity

# What was billed of the items, what is left to credit and the items that are
# new
BilledBefore = namedtuple('BilledBefore', ['items', 'creditable', 'created'])
# A line as it is saved, with the values set on it, and the values
Change = namedtuple('Change', ['line', 'record', 'values'])


def has_tax_on_tax(taxes):
    return any(t.update_unit_price or has_tax_on_tax(t.childs) for t in taxes)


def format_percent(ratio):
    "Return the percents of the ratio as the user types them"
    return f'{ratio * 100:.10g}'


class Invoice(metaclass=PoolMeta):
    __name__ = 'account.invoice'

    _progress_states = {
        'invisible': ~Eval('progress', False),
        }

    progress = fields.Boolean(
        "Progress Invoice",
        states={
            'invisible': Eval('type') != 'out',
            'readonly': Eval('state') != 'draft',
            },
        help="Check to bill the progress of the lines.")
    progress_contract = fields.Many2One(
        'account.progress_contract', "Contract", ondelete='RESTRICT',
        states={
            **_progress_states,
            **editable(False),
            },
        help="The contract that is billed.")
    previous_progress_invoice = fields.Many2One(
        'account.invoice', "Previous Progress Invoice", ondelete='RESTRICT',
        domain=[
            ('type', '=', 'out'),
            ('progress', '=', True),
            ('company', '=', Eval('company', -1)),
            ('currency', '=', Eval('currency', -1)),
            If(Bool(Eval('party')),
                ('party', '=', Eval('party', -1)),
                ()),
            If(Eval('state') == 'draft',
                ('state', 'in', ['posted', 'paid']),
                ()),
            ],
        states={
            'invisible': (
                (Eval('type') != 'out')
                | ~Eval('progress', False) & (Eval('state') != 'draft')),
            'readonly': Eval('state') != 'draft',
            },
        help="The last document of the contract that is continued.\n"
        "The lines of the contract are added when it is saved.")
    progress_number = fields.Integer(
        "Progress Number",
        states={
            **_progress_states,
            **editable(False),
            })
    progress_closing = fields.Boolean(
        "Closing Invoice",
        states={
            'invisible': (
                ~Eval('progress', False)
                | Eval('progress_credited_invoice')),
            'readonly': Eval('state') != 'draft',
            },
        help="Check to bill all that is left and to close the contract.")
    progress_credited_invoice = fields.Many2One(
        'account.invoice', "Credited Progress Invoice",
        ondelete='RESTRICT',
        states={
            'invisible': ~Eval('progress_credited_invoice'),
            **editable(False),
            })
    progress_invoices = fields.Function(
        fields.Many2Many(
            'account.invoice', None, None, "Progress Invoices",
            states=_progress_states,
            help="The documents of the contract up to this one."),
        'get_progress_documents')
    # What is shown is kept once it is posted
    progress_total_amount_cache = Monetary(
        "Contract Amount Cache", currency='currency', digits='currency',
        readonly=True)
    progress_previous_amount_cache = Monetary(
        "Billed Before Cache", currency='currency', digits='currency',
        readonly=True)
    progress_current_amount_cache = Monetary(
        "Billed to Date Cache", currency='currency', digits='currency',
        readonly=True)
    progress_total_amount = fields.Function(
        Monetary(
            "Contract Amount", currency='currency', digits='currency',
            states=_progress_states,
            help="The amount of the contract without taxes."),
        'get_progress_amounts')
    progress_previous_amount = fields.Function(
        Monetary(
            "Billed Before", currency='currency', digits='currency',
            states=_progress_states,
            help="What was billed before without taxes."),
        'get_progress_amounts')
    progress_current_amount = fields.Function(
        Monetary(
            "Billed to Date", currency='currency', digits='currency',
            states=_progress_states,
            help="What is billed including this document without taxes."),
        'get_progress_amounts')
    progress_remaining_amount = fields.Function(
        Monetary(
            "Remaining to Bill", currency='currency', digits='currency',
            states=_progress_states,
            help="What is left of the contract without taxes."),
        'get_progress_amounts')
    progress_ratio = fields.Function(
        fields.Float(
            "Progress", digits=(None, 4), states=_progress_states,
            help="What is billed to date of the contract."),
        'get_progress_amounts')
    progress_paid_amount = fields.Function(
        Monetary(
            "Contract Paid", currency='currency', digits='currency',
            states=_progress_states,
            help="What was paid of the documents of the contract with "
            "taxes."),
        'get_progress_documents')
    progress_amount_to_pay = fields.Function(
        Monetary(
            "Contract to Pay", currency='currency', digits='currency',
            states=_progress_states,
            help="What is still to pay of the documents of the contract, this "
            "one included, with taxes."),
        'get_progress_documents')
    progress_last = fields.Function(
        fields.Boolean(
            "Last of the Contract",
            help="If it is the last document of an open contract."),
        'get_progress_last')

    del _progress_states

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._check_modify_exclude.update(
            f'{n}_cache' for n in cls._kept_amounts)
        table = cls.__table__()
        # What looks for the documents of a contract and for what bills
        # nothing, and what is checked when an invoice is deleted
        cls._sql_indexes.update(
            Index(
                table,
                (column, Index.Range()),
                where=column != Null)
            for column in [
                table.progress_contract, table.previous_progress_invoice,
                table.progress_credited_invoice, table.cancel_move])
        credit = Bool(Eval('progress_credited_invoice', None))
        for field in [cls.progress, cls.previous_progress_invoice]:
            let_readonly(field, credit)
        in_progress = (
            Eval('progress', False) & (Eval('type') == 'out'))
        draft = {
            'invisible': ~in_progress | (Eval('state') != 'draft'),
            'depends': ['progress', 'type', 'state'],
            }
        live = {
            'invisible': (
                ~in_progress | ~Eval('state').in_(['posted', 'paid'])),
            'depends': ['progress', 'type', 'state'],
            }
        no_credit = {
            'invisible': (
                draft['invisible'] | Eval('progress_credited_invoice')),
            'depends': [*draft['depends'], 'progress_credited_invoice'],
            }
        cls._buttons.update({
                'import_progress_quotation': no_credit,
                'import_progress_sale': no_credit,
                'add_progress_section': no_credit,
                'set_progress': no_credit,
                'enter_progress': no_credit,
                'next_progress_invoice': live,
                'closing_progress_invoice': live,
                })

    @classmethod
    def fields_view_get(cls, view_id=None, view_type='form', level=None):
        view = super().fields_view_get(
            view_id=view_id, view_type=view_type, level=level)
        if 'lines' in view['fields']:
            # Only for the list in a window, which knows nothing else: on the
            # server the lines would be read once for each context, and a
            # script would read the whole invoice to evaluate it
            context = PYSONEncoder().encode({
                    **cls.lines.context,
                    **cls._get_columns_context(),
                    })
            # A view that comes from the cache can not be changed
            fields = dict(view['fields'])
            fields['lines'] = {**fields['lines'], 'context': context}
            view = {**view, 'fields': fields}
        return view

    @classmethod
    def _get_columns_context(cls):
        "Return the context of the lines that decides on their columns"
        return {'progress_columns': Eval('progress', False)}

    @classmethod
    def view_attributes(cls):
        return super().view_attributes() + [
            ('//page[@id="progress"]', 'states', {
                    'invisible': ~Eval('progress', False),
                    }, ['progress']),
            # Hidden only there, for the server tells why it refuses
            ('/form//group[@id="next_progress"]', 'states', {
                    'invisible': ~Eval('progress_last', False),
                    }, ['progress_last']),
            ]

    @classmethod
    def default_progress(cls):
        return False

    @classmethod
    def default_progress_closing(cls):
        return False

    @fields.depends('type', 'progress')
    def on_change_type(self):
        super().on_change_type()
        if self.type != 'out':
            self.progress = False

    @fields.depends(
        'previous_progress_invoice', 'party',
        methods=['on_change_party'])
    def on_change_previous_progress_invoice(self):
        previous = self.previous_progress_invoice
        if previous:
            self.progress = True
            if not self.party:
                self.party = previous.party
                self.on_change_party()
                self.invoice_address = previous.invoice_address
                self.payment_term = previous.payment_term

    @property
    def is_progress_refund(self):
        "If it is the credit note that cancelled its invoice"
        credited = self.progress_credited_invoice
        return bool(
            credited
            and credited.state == 'cancelled'
            and credited.cancel_move
            and credited.cancel_move == self.move)

    @classmethod
    def get_progress_amounts(cls, invoices, names):
        "Return the figures of the contract up to each document"
        pool = Pool()
        ContractLine = pool.get('account.progress_contract.line')
        Line = pool.get('account.invoice.line')
        result = {n: dict.fromkeys((i.id for i in invoices)) for n in names}
        invoices = [i for i in invoices if i.progress and i.progress_contract]
        amounts = {
            i.id: (
                i.progress_total_amount_cache,
                i.progress_previous_amount_cache,
                i.progress_current_amount_cache)
            for i in invoices}
        derived = [i for i in invoices if None in amounts[i.id]]
        if derived:
            totals, billed = ContractLine.get_sums(
                {i.progress_contract for i in derived})
            own = Line.get_progress_sums(derived)
            for invoice in derived:
                contract = invoice.progress_contract.id
                previous = billed[contract]
                if invoice.state in {'posted', 'paid'}:
                    # Its state may be set before it is posted
                    previous -= own[invoice.id]
                amounts[invoice.id] = (
                    totals[contract], previous, previous + own[invoice.id])
        for invoice in invoices:
            total, previous, current = map(
                invoice.currency.round, amounts[invoice.id])
            values = {
                'progress_total_amount': total,
                'progress_previous_amount': previous,
                'progress_current_amount': current,
                'progress_remaining_amount': total - current,
                'progress_ratio': (
                    get_ratio(current, total) if total else None),
                }
            for name in names:
                result[name][invoice.id] = values[name]
        return result

    @classmethod
    def _store_progress_amounts(cls, invoices):
        "Keep what the documents show of their contract"
        to_write = []
        for invoice in invoices:
            to_write.extend(([invoice], {
                        f'{n}_cache': getattr(invoice, n)
                        for n in cls._kept_amounts}))
        if to_write:
            cls.write(*to_write)

    @classmethod
    def get_progress_documents(cls, invoices, names):
        "Return the documents up to each invoice and what they are paid"
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        amounts = [n for n in names if n != 'progress_invoices']
        result = {n: dict.fromkeys((i.id for i in invoices)) for n in amounts}
        result['progress_invoices'] = {i.id: [] for i in invoices}
        invoices = [i for i in invoices if i.progress_contract]
        # Read the documents together and only once for all the names
        live = Contract.get_documents(
            {i.progress_contract.id for i in invoices})
        for invoice in invoices:
            key = (invoice.progress_number or 0, invoice.id)
            documents = [
                d for d in live[invoice.progress_contract.id]
                if (d.progress_number, d.id) <= key]
            if invoice not in documents:
                documents.append(invoice)
            result['progress_invoices'][invoice.id] = [
                d.id for d in documents]
            if amounts:
                paid, to_pay = map(sum, zip(*(
                            d.get_progress_paid() for d in documents)))
                values = {
                    'progress_paid_amount': paid,
                    'progress_amount_to_pay': to_pay,
                    }
                for name in amounts:
                    result[name][invoice.id] = values[name]
        return {n: result[n] for n in names}

    def get_progress_paid(self):
        "Return what is paid and what is to pay of the document"
        if self.state in OPEN:
            return Decimal(0), self.total_amount
        elif self.state == 'cancelled' or self.is_progress_refund:
            return Decimal(0), Decimal(0)
        to_pay = self.amount_to_pay or Decimal(0)
        return self.total_amount - to_pay, to_pay

    @classmethod
    def get_progress_last(cls, invoices, name):
        "Return if each is the last live document of an open contract"
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        result = dict.fromkeys((i.id for i in invoices), False)
        cursor = Transaction().connection.cursor()
        table = cls.__table__()
        after = cls.__table__()
        follows = (
            (after.progress_number > table.progress_number)
            | (after.progress_number == table.progress_number)
            & (after.id > table.id))
        for sub_invoices in grouped_slice([
                    i for i in invoices
                    if i.progress and i.state in {'posted', 'paid'}], SLICE):
            cursor.execute(*table.select(
                    table.id,
                    where=fields.SQL_OPERATORS['in'](
                        table.id, [i.id for i in sub_invoices])
                    & cls._live(table)
                    & ~Contract.is_closed(table.progress_contract)
                    & ~Exists(after.select(
                            after.id,
                            where=(after.progress_contract
                                == table.progress_contract)
                            & follows & cls._live(after)))))
            result.update((id_, True) for id_, in cursor)
        return result

    def get_sales(self, name):
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        sales = set(super().get_sales(name))
        # The origin of a credit line is the credited line
        sales.update(
            l.progress_line.origin.sale.id for l in self.lines
            if l.progress_line and l.progress_line.is_sold)
        if (self.progress_contract
                and (self.progress_credited_invoice or self).progress_closing):
            # It is the end, or no more, of the sales of all the contract,
            # also of those whose lines it does not have
            with without_check_access():
                sales.update(Contract.get_sales(
                        [self.progress_contract], 'sales')[
                            self.progress_contract.id])
        return list(sales)

    @classmethod
    def search_sales(cls, name, clause):
        domain = super().search_sales(name, clause)
        operator = clause[1]
        if operator.startswith('!') or operator.startswith('not '):
            bool_op = 'AND'
        else:
            bool_op = 'OR'
        return [bool_op,
            domain,
            ('lines.progress_line.origin.sale' + clause[0][len(name):],
                *clause[1:3], 'sale.line', *clause[3:]),
            ]

    @classmethod
    def _get_billing_records(cls, invoices):
        records = super()._get_billing_records(invoices)
        records.extend(s for i in invoices if i.progress for s in i.sales)
        records.extend(
            i.progress_contract for i in invoices if i.progress_contract)
        return records

    def check_progress_previous(self, values):
        """
        Return the document which is continued by a new one with the values

        It is this invoice or the last of the credit notes made since.
        """
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        if not self.progress or self.type != 'out':
            raise ProgressContractError(gettext(
                    'project_progress_invoice.msg_previous_not_progress',
                    previous=self.rec_name))
        self.check_progress_parties(values)
        documents = Contract.get_documents([self.progress_contract])
        documents = documents[self.progress_contract.id]
        if self not in documents:
            raise ProgressContractError(gettext(
                    'project_progress_invoice.msg_previous_not_live',
                    previous=self.rec_name))
        after = documents[documents.index(self) + 1:]
        for document in after:
            if not document.progress_credited_invoice:
                raise ProgressContractError(gettext(
                        'project_progress_invoice.msg_previous_continued',
                        previous=self.rec_name,
                        next=document.rec_name))
        if Contract.get_closed([self.progress_contract]):
            raise ProgressContractError(gettext(
                    'project_progress_invoice.msg_contract_closed',
                    contract=self.progress_contract.rec_name,
                    previous=self.rec_name))
        return documents[-1]

    # What all documents of a contract have in common
    _contract_fields = ['company', 'party', 'currency']

    def check_progress_parties(self, values):
        "Check the values keep the parties and the currency of the contract"
        pool = Pool()
        contract = self.progress_contract
        for name in self._contract_fields:
            value, expected = values.get(name), getattr(contract, name)
            if value and value != expected.id:
                Model = pool.get(expected.__name__)
                raise ProgressContractError(gettext(
                        'project_progress_invoice.msg_contract_other',
                        contract=contract.rec_name,
                        value=Model(value).rec_name,
                        expected=expected.rec_name,
                        **self.__names__(field=name)))

    @classmethod
    def _chain_progress(cls, values, invoice=None):
        "Set on values the place of the invoice in its contract"
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        if credited := values.get('progress_credited_invoice'):
            contract = cls(credited).progress_contract
            documents = Contract.get_documents([contract])[contract.id]
            previous = documents[-1]
        elif previous := values.get('previous_progress_invoice'):
            previous = cls(previous)
            contract = previous.progress_contract
            if contract:
                lock_together([contract])
            if invoice:
                current = {
                    n: getattr(invoice, n).id for n in cls._contract_fields}
            else:
                current = {}
            previous = previous.check_progress_previous(
                {**current, **values})
            contract.check_open(invoice)
        else:
            contract = cls._begin_contract(values, invoice)
        values.update(
            progress=True,
            previous_progress_invoice=previous.id if previous else None,
            progress_contract=contract.id,
            progress_number=previous.progress_number + 1 if previous else 1)

    @classmethod
    def _begin_contract(cls, values, invoice=None):
        "Return the contract whose first document has the values"
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        if not invoice and values.get('progress_contract'):
            return Contract(values['progress_contract'])
        contract = Contract(by_hand=False)
        for name in [*cls._contract_fields, 'description', 'reference']:
            if name in values:
                setattr(contract, name, values[name])
            elif invoice:
                setattr(contract, name, getattr(invoice, name))
        contract.save()
        return contract

    _kept_amounts = [
        'progress_total_amount', 'progress_previous_amount',
        'progress_current_amount']
    _readonly_fields = {
        'progress_contract', 'progress_number', 'progress_credited_invoice',
        *(f'{n}_cache' for n in _kept_amounts)}
    # The fields that tell if it bills
    _live_fields = {'state', 'move', 'cancel_move'}
    # The fields to type
    _draft_fields = {
        'progress', 'previous_progress_invoice', 'progress_closing'}

    @property
    def _is_billing(self):
        return super()._is_billing or self.progress

    def _change_progress(self, values):
        "Complete the values which change the place in a contract"
        if self.progress_credited_invoice:
            previous = self.previous_progress_invoice.id
            if (not values.get('progress', True)
                    or values.get('previous_progress_invoice', previous)
                    != previous):
                self._refuse_unset()
            return
        progress = values.get('progress', self.progress)
        if 'previous_progress_invoice' in values:
            if values['previous_progress_invoice']:
                progress = True
        elif not values.get('progress') and self.previous_progress_invoice:
            self._refuse_unset()
        if progress:
            if self.progress_contract and not (
                    values.get('previous_progress_invoice')
                    or 'previous_progress_invoice' in values
                    and self.previous_progress_invoice):
                return
            self._chain_progress(values, self)
        else:
            self._check_progress_sales()
            values.update(
                progress=False,
                previous_progress_invoice=None,
                progress_contract=None,
                progress_number=None,
                progress_closing=False)

    def _refuse_unset(self):
        raise ProgressContractError(gettext(
                'project_progress_invoice.msg_progress_unset',
                invoice=self.rec_name,
                contract=self.progress_contract.rec_name))

    def _check_progress_sales(self):
        "Check it does not bill a sale that is only invoiced on progress"
        pool = Pool()
        SaleLine = pool.get('sale.line')
        for line in self.lines:
            if (isinstance(line.origin, SaleLine)
                    and line.origin.sale.invoice_method == 'progress'):
                raise ProgressContractError(gettext(
                        'project_progress_invoice.msg_progress_sale',
                        invoice=self.rec_name,
                        sale=line.origin.sale.rec_name))

    @classmethod
    def create(cls, vlist):
        check_write_access(cls, 'create', *vlist)
        vlist = [v.copy() for v in vlist]
        chained = [
            bool(v.get('progress') or v.get('previous_progress_invoice'))
            for v in vlist]
        continued = [
            c and bool(
                v.get('previous_progress_invoice')
                or v.get('progress_contract'))
            for v, c in zip(vlist, chained)]
        for values, progress in zip(vlist, chained):
            if Transaction().check_access:
                check_readonly(cls, cls._readonly_fields, values)
                if progress:
                    check_readonly(cls, cls._live_fields, values)
        with without_check_access():
            for values, progress in zip(vlist, chained):
                if progress:
                    cls._chain_progress(values)
        with Transaction().set_context(_progress_invoice=True):
            invoices = super().create(vlist)
        if any(chained):
            with without_check_access():
                for invoice, continues in zip(
                        cls.browse(invoices), continued):
                    if continues and not invoice.progress_credited_invoice:
                        invoice._add_contract_lines()
                    if (invoice.progress
                            and invoice.progress_closing and invoice.lines):
                        # Those that were created with it
                        cls(invoice.id)._close_lines()
        return invoices

    @classmethod
    def write(cls, *args):
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        ContractLine = pool.get('account.progress_contract.line')
        update = Transaction().context.get('_progress_update', False)
        check_write_access(cls, 'write', *args[1::2])
        for invoices, values in zip(args[::2], args[1::2]):
            if Transaction().check_access:
                check_readonly(cls, cls._readonly_fields, values, invoices)
                if values.keys() & cls._live_fields:
                    with without_check_access():
                        billing = [
                            i for i in cls.browse(invoices) if i._is_billing]
                    check_readonly(cls, cls._live_fields, values, billing)
        left = cls._get_contracts_left(*args)
        with without_check_access():
            actions = cls._chain_written(args, update)
            for invoices, values in zip(args[::2], args[1::2]):
                if values.keys() & set(cls._contract_fields):
                    cls._follow_draft(cls.browse(invoices), values)
        with Transaction().set_context(_progress_invoice=True):
            super().write(*actions)
        for invoices, values in zip(args[::2], args[1::2]):
            if not (values.keys() & {
                        'progress', 'previous_progress_invoice',
                        'progress_closing'}):
                continue
            with without_check_access():
                for invoice in cls.browse(invoices):
                    if invoice.state not in OPEN:
                        continue
                    if not update and values.keys() & {
                            'progress', 'previous_progress_invoice'}:
                        invoice._reset_contract_lines()
                    if values.get('progress_closing'):
                        invoice._close_lines()
        if left:
            with without_check_access():
                ContractLine.delete_unused(ContractLine.search([
                            ('contract', 'in', [c.id for c in left]),
                            ('brought_by', 'in', [
                                    i.id for i in sum(args[::2], [])]),
                            ]))
            Contract.delete_unused(left)

    @classmethod
    def _chain_written(cls, args, update):
        "Return the arguments of write with the place of each in its contract"
        actions = []
        for invoices, values in zip(args[::2], args[1::2]):
            if values.keys() & set(cls._contract_fields):
                for invoice in invoices:
                    contract = invoice.progress_contract
                    if contract and contract.invoices != (invoice,):
                        invoice.check_progress_parties(values)
            if update or not (
                    values.keys() & {'progress', 'previous_progress_invoice'}):
                actions.extend((invoices, values))
                continue
            others = [i for i in invoices if not i.is_modifiable]
            if others or not invoices:
                actions.extend((others, values))
            for invoice in invoices:
                if invoice not in others:
                    actions.extend(([invoice], values.copy()))
                    invoice._change_progress(actions[-1])
        return actions

    @classmethod
    def _get_contracts_left(cls, *args):
        "Return the contracts that the invoices may leave by the values"
        with without_check_access():
            return {
                i.progress_contract
                for invoices, values in zip(args[::2], args[1::2])
                if values.keys() & {'progress', 'previous_progress_invoice'}
                for i in cls.browse(invoices) if i.progress_contract}

    @classmethod
    def _follow_draft(cls, invoices, values):
        "Let the contracts have what their only draft has"
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        if contracts := [
                i.progress_contract for i in invoices if i.progress_contract]:
            Contract.write(contracts, {
                    n: values[n] for n in cls._contract_fields if n in values})

    @classmethod
    def on_delete(cls, invoices):
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        ContractLine = pool.get('account.progress_contract.line')
        callbacks = super().on_delete(invoices)
        contracts = {
            i.progress_contract for i in invoices if i.progress_contract}
        if contracts:
            with without_check_access():
                items = ContractLine.search([
                        ('brought_by', 'in', [i.id for i in invoices]),
                        ])
            callbacks.extend([
                    lambda: ContractLine.delete_unused(items),
                    lambda: Contract.delete_unused(contracts),
                    ])
        return callbacks

    def _add_contract_lines(self):
        "Add the items of the contract which are missing on the invoice"
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        Line = pool.get('account.invoice.line')
        present = {l.progress_line for l in self.lines}
        items = [
            i for i in Contract(self.progress_contract.id).lines
            if i not in present and not i.is_dormant]
        if not items:
            return
        # The lines typed together with the previous invoice come last
        typed = [
            l for l in self.lines
            if l.progress_line and l.progress_line.brought_by == self]
        Line.add_items(items, self)
        if typed:
            last = max(i.sequence or 0 for i in items)
            Line.write(*chain(*(
                        ([l], {'sequence': last + 10 * i})
                        for i, l in enumerate(typed, 1))))
        self.__class__.update_taxes([self.__class__(self.id)])

    def _reset_contract_lines(self):
        "Replace the lines of another contract"
        pool = Pool()
        ContractLine = pool.get('account.progress_contract.line')
        Line = pool.get('account.invoice.line')
        to_move, to_delete, to_derive = [], [], []
        for line in self.lines:
            item = line.progress_line
            if (item and self.progress and not self.progress_credited_invoice
                    and item.contract != self.progress_contract):
                if (item.brought_by != self
                        # The header was copied with its texts
                        or line.type != 'line'
                        and self.previous_progress_invoice):
                    to_delete.append(line)
                    continue
                to_move.append(item)
                if (line.type == 'line' and line.progress_previous_quantity
                        and self.previous_progress_invoice
                        and not item.is_manual):
                    # It was typed as long as there was no previous invoice
                    raise ProgressLineError(gettext(
                            'project_progress_invoice.msg_previous_readonly',
                            line=line.rec_name,
                            invoice=self.rec_name))
            elif bool(self.progress) != bool(item):
                to_derive.append(line)
        if to_move:
            with Transaction().set_context(_progress_typed=True):
                ContractLine.write(
                    to_move, {'contract': self.progress_contract.id})
        Line.delete(to_delete)
        if to_derive:
            Line.write(to_derive, {'progress_completed': False})
        if self.progress and self.previous_progress_invoice:
            self.__class__(self.id)._add_contract_lines()

    def _close_lines(self):
        pool = Pool()
        Line = pool.get('account.invoice.line')
        Line.set_progress_current([
                (l, l.progress_total_quantity) for l in self.lines
                if l.on_progress and not l.progress_completed
                and l.progress_current_quantity != l.progress_total_quantity])

    @classmethod
    def update_progress(cls, contracts):
        """
        Derive again the draft documents of the contracts

        It must be called when the live documents changed.
        A validated document is not changed but refused at posting.
        """
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        Line = pool.get('account.invoice.line')
        with without_check_access():
            drafts = [
                i for i in Contract.get_open_documents(contracts)
                if i.state == 'draft']
            if not drafts:
                return
            cls._continue_last(drafts)
            Line.update_progress([l for d in drafts for l in d.lines])

    @classmethod
    def _continue_last(cls, invoices):
        "Let the open documents continue the last live one of their contract"
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        documents = Contract.get_documents(
            {i.progress_contract for i in invoices})
        for invoice in invoices:
            last = (documents[invoice.progress_contract.id] or [None])[-1]
            number = last.progress_number + 1 if last else 1
            if (invoice.previous_progress_invoice != last
                    or invoice.progress_number != number):
                with Transaction().set_context(_progress_update=True):
                    cls.write([invoice], {
                            'previous_progress_invoice': last,
                            'progress_number': number,
                            })

    @classmethod
    def _check_posting(cls, invoices):
        super()._check_posting(invoices)
        if progress := [i for i in invoices if i.progress]:
            cls._check_progress_posting(progress)

    @classmethod
    def _check_progress_posting(cls, invoices):
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        Line = pool.get('account.invoice.line')
        contracts = set()
        for invoice in invoices:
            if invoice.progress_contract in contracts:
                raise ProgressContractError(gettext(
                        'project_progress_invoice.msg_post_together',
                        invoice=invoice.rec_name,
                        contract=invoice.progress_contract.rec_name))
            contracts.add(invoice.progress_contract)
        documents = Contract.get_documents(contracts, invoices)
        closed = Contract.get_closed(contracts)
        for invoice in invoices:
            contract = invoice.progress_contract
            last = (documents[contract.id] or [None])[-1]
            if not invoice.progress_credited_invoice:
                contract.check_open(invoice)
                if contract.id in closed and not invoice.progress_closing:
                    raise ProgressContractError(gettext(
                            'project_progress_invoice.msg_contract_closed',
                            contract=contract.rec_name,
                            previous=last.rec_name))
            if invoice.previous_progress_invoice != last:
                raise ProgressChangedError(gettext(
                        'project_progress_invoice.msg_previous_changed',
                        invoice=invoice.rec_name,
                        previous=last.rec_name if last else ''))
        Line.check_progress([l for i in invoices for l in i.lines], invoices)
        cls._check_closing([i for i in invoices if i.progress_closing])

    @classmethod
    def _check_closing(cls, invoices):
        "Check nothing is left of the items that closing invoices have not"
        pool = Pool()
        ContractLine = pool.get('account.progress_contract.line')
        missing = defaultdict(list)
        for invoice in invoices:
            if invoice.progress_credited_invoice:
                continue
            present = {l.progress_line for l in invoice.lines}
            missing[invoice].extend(
                i for i in invoice.progress_contract.lines
                if i not in present and i.type == 'line'
                and not i.is_dormant)
        billed = ContractLine.get_billed(
            [i for items in missing.values() for i in items],
            excluded=invoices)
        completed = ContractLine.get_completed(billed)
        for invoice, items in missing.items():
            for item in items:
                if (item.id not in completed
                        and not item.is_billed(billed[item.id])):
                    raise ProgressLineError(gettext(
                            'project_progress_invoice.msg_closing_missing',
                            invoice=invoice.rec_name,
                            line=item.rec_name))

    @classmethod
    @ModelView.button
    def validate_invoice(cls, invoices):
        progress = [i for i in invoices if i.progress]
        if progress:
            cls._lock_billing(progress)
            cls.update_progress({i.progress_contract for i in progress})
        super().validate_invoice(invoices)

    @classmethod
    def _post(cls, invoices):
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        ContractLine = pool.get('account.progress_contract.line')
        Line = pool.get('account.invoice.line')
        progress = [i for i in invoices if i.progress]
        items = [
            l.progress_line for i in progress for l in i.lines
            if l.progress_line]
        Line._set_sale_lines(items)
        cls._store_progress_amounts([
                i for i in progress if not i.move or i.move.state != 'posted'])
        super()._post(invoices)
        if progress:
            if brought := [i for i in items if i.brought_by]:
                with without_check_access():
                    ContractLine.write(brought, {'brought_by': None})
            cls._check_sales_billed(
                [i for i in progress if not i.progress_credited_invoice])
            Contract.process({i.progress_contract for i in progress})

    @classmethod
    def _check_sales_billed(cls, invoices):
        "Check the lines of the sales are not billed twice"
        pool = Pool()
        SaleLine = pool.get('sale.line')
        SaleLine.check_progress_billed({
                l.progress_line.origin for i in invoices for l in i.lines
                if l.on_progress and l.progress_line.is_sold})

    @classmethod
    @ModelView.button
    def cancel(cls, invoices):
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        ContractLine = pool.get('account.progress_contract.line')
        cls._lock_billing(invoices)
        progress = [i for i in invoices if i.progress]
        if progress:
            cls._check_progress_cancel(progress)
        super().cancel(invoices)
        if progress:
            contracts = {i.progress_contract for i in progress}
            if any(i.number for i in progress):
                ContractLine.check_billed(contracts)
                cls._check_sales_billed(
                    [i for i in progress if i.progress_credited_invoice])
            Contract.process(contracts)

    @classmethod
    def _check_progress_cancel(cls, invoices):
        for invoice in invoices:
            for credit in cls.search([
                        ('progress_credited_invoice', '=', invoice.id),
                        ('state', '!=', 'cancelled'),
                        ]):
                if invoice.cancel_move and credit.move == invoice.cancel_move:
                    continue
                raise ProgressCreditError(gettext(
                        'project_progress_invoice.msg_cancel_credited',
                        invoice=invoice.rec_name,
                        credit=credit.rec_name))

    @classmethod
    @ModelView.button
    def draft(cls, invoices):
        cls._lock_billing(invoices)
        for invoice in invoices:
            if invoice.progress and not invoice.progress_credited_invoice:
                invoice.progress_contract.check_open(invoice)
        progress = [i for i in invoices if i.progress and i.is_modifiable]
        if progress:
            # A draft must continue what bills
            with without_check_access():
                cls._continue_last(cls.browse(progress))
        super().draft(invoices)
        if progress:
            cls.update_progress({i.progress_contract for i in progress})

    @property
    @fields.depends('progress', 'company', 'currency')
    def taxable_lines(self):
        pool = Pool()
        Configuration = pool.get('account.configuration')
        if not self.progress or not self.currency:
            return super().taxable_lines
        if self.id is None or self.id < 0 or 'lines' in (self._values or {}):
            lines = super().taxable_lines
        else:
            lines = self._get_saved_taxable_lines()
        if len(lines) < 2:
            return lines
        rounding = Configuration(1).get_multivalue(
            'tax_rounding', company=self.company.id if self.company else None)
        if rounding == 'line':
            return lines
        # The tax of a sum is the sum of the taxes: compute it once
        sums = defaultdict(list)
        apart = {}
        for line in lines:
            taxes, amount, quantity, date = line
            taxes = tuple(taxes)
            if taxes not in apart:
                apart[taxes] = has_fixed_tax(taxes) or has_tax_on_tax(taxes)
            key = (taxes, date, amount < 0)
            if (quantity != 1 or amount != self.currency.round(amount)
                    or apart[taxes]):
                key += (len(sums),)
            sums[key].append(line)
        return [
            (lines[0][0], sum(l[1] for l in lines), *lines[0][2:])
            for lines in sums.values()]

    def _get_saved_taxable_lines(self):
        """
        Return the taxable lines of the saved lines

        They are those of each line, but what a line of the contract bills is
        read at once: each line saved taxes again all those of its invoice.
        """
        pool = Pool()
        Line = pool.get('account.invoice.line')
        LineTax = pool.get('account.invoice.line-account.tax')
        Tax = pool.get('account.tax')
        cursor = Transaction().connection.cursor()
        line = Line.__table__()
        line_tax = LineTax.__table__()
        tax = Tax.__table__()
        # In the order of the taxes of a line
        cursor.execute(*line_tax
            .join(line, condition=line_tax.line == line.id)
            .join(tax, condition=line_tax.tax == tax.id)
            .select(
                line.id, tax.id,
                where=line.invoice == self.id,
                order_by=[tax.sequence, tax.id]))
        ids = defaultdict(tuple)
        for line_id, tax_id in cursor:
            ids[line_id] += (tax_id,)
        cursor.execute(*line.select(
                line.id, line.progress_previous_amount,
                line.progress_current_amount, line.quantity, line.taxes_date,
                where=(line.invoice == self.id) & (line.type == 'line'),
                order_by=[line.sequence.nulls_first, line.id]))
        lines = cursor.fetchall()
        with without_check_access():
            others = {
                l.id: l for l in Line.browse([
                        id_ for id_, _, current, *_ in lines
                        if current is None])}
            taxes = {
                i: Tax.browse(i) for i in {ids[l[0]] for l in lines}}
            tax_date = self.tax_date
            taxable_lines = []
            for id_, previous, current, quantity, date in lines:
                if current is None:
                    taxable_lines += others[id_].taxable_lines
                else:
                    taxable_lines += set_base(
                        [(taxes[ids[id_]], None, None, date or tax_date)],
                        self.currency.round(current - previous), quantity)
        return taxable_lines

    def _credit(self, **values):
        credit = super()._credit(**values)
        if self.progress:
            credit.progress = True
            credit.progress_credited_invoice = self
        return credit

    @classmethod
    def credit(cls, invoices, refund=False, **values):
        cls._lock_billing(invoices)
        if progress := [i for i in invoices if i.progress]:
            cls._check_progress_credit(progress, refund=refund)
        return super().credit(invoices, refund=refund, **values)

    @classmethod
    def _check_progress_credit(cls, invoices, refund=False):
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        Line = pool.get('account.invoice.line')
        documents = Contract.get_documents(
            {i.progress_contract for i in invoices})
        for invoice in invoices:
            if invoice not in documents[invoice.progress_contract.id]:
                raise ProgressCreditError(gettext(
                        'project_progress_invoice.msg_credit_not_live',
                        invoice=invoice.rec_name))
            credits = cls.search([
                    ('progress_credited_invoice', '=', invoice.id),
                    ('state', '!=', 'cancelled'),
                    ])
            if not credits:
                continue
            creditable = Line.get_progress_creditable([invoice])
            if refund or not any(q or a for q, a in creditable.values()):
                raise ProgressCreditError(gettext(
                        'project_progress_invoice.msg_credit_twice',
                        invoice=invoice.rec_name,
                        credits=', '.join(c.rec_name for c in credits)))

    @classmethod
    def validate_fields(cls, invoices, field_names):
        super().validate_fields(invoices, field_names)
        cls.check_progress_type(invoices, field_names)

    @classmethod
    def check_progress_type(cls, invoices, field_names=None):
        if field_names and not (field_names & {'progress', 'type'}):
            return
        for invoice in invoices:
            if invoice.progress and invoice.type != 'out':
                raise ProgressContractError(gettext(
                        'project_progress_invoice.msg_progress_customer',
                        invoice=invoice.rec_name))

    @classmethod
    def check_modification(cls, mode, invoices, values=None, external=False):
        super().check_modification(
            mode, invoices, values=values, external=external)
        if (mode == 'write' and external
                and values.keys() & cls._draft_fields):
            for invoice in invoices:
                if invoice.state == 'validated':
                    raise ProgressAccessError(gettext(
                            'project_progress_invoice.msg_progress_draft',
                            invoice=invoice.rec_name))
        if mode == 'delete':
            progress = [i for i in invoices if i.progress]
            if not progress:
                return
            users = cls.search([
                    ['OR',
                        ('previous_progress_invoice', 'in', progress),
                        ('progress_credited_invoice', 'in', progress),
                        ],
                    ('id', 'not in', [i.id for i in invoices]),
                    ])
            if users:
                raise ProgressAccessError(gettext(
                        'project_progress_invoice.msg_progress_delete',
                        invoice=(
                            users[0].previous_progress_invoice.rec_name),
                        next=users[0].rec_name))

    @classmethod
    def copy(cls, invoices, default=None):
        default = default.copy() if default is not None else {}
        if Transaction().context.get('_account_invoice_correction'):
            # What corrects an invoice is no work
            default.setdefault('progress', False)
        if not Transaction().context.get('_progress_next'):
            default.setdefault('previous_progress_invoice')
            default.setdefault('progress_closing', False)
        default.setdefault('progress_contract')
        default.setdefault('progress_number')
        default.setdefault('progress_credited_invoice')
        for name in cls._kept_amounts:
            default.setdefault(f'{name}_cache')
        if progress := [i for i in invoices if i.progress]:
            text_lines = {
                i.id: [
                    l.id for l in i.lines if l.type != 'line'
                    # Those of the contract are added
                    and not default.get('previous_progress_invoice')]
                for i in progress}
            default.setdefault(
                'lines', lambda data: text_lines.get(
                    data['id'], data['lines']))
            manual_taxes = {
                i.id: [t.id for t in i.taxes if t.manual] for i in progress}
            default.setdefault(
                'taxes', lambda data: manual_taxes.get(
                    data['id'], data['taxes']))
        return super().copy(invoices, default=default)

    @classmethod
    @ModelView.button_action(
        'project_progress_invoice.wizard_import_progress_quotation')
    def import_progress_quotation(cls, invoices):
        pass

    @classmethod
    @ModelView.button_action(
        'project_progress_invoice.wizard_import_progress_sale')
    def import_progress_sale(cls, invoices):
        pass

    @classmethod
    @ModelView.button_action('project_progress_invoice.wizard_set_progress')
    def set_progress(cls, invoices):
        pass

    @classmethod
    @ModelView.button_action('project_progress_invoice.act_enter_progress')
    def enter_progress(cls, invoices):
        pool = Pool()
        Action = pool.get('ir.action')
        ModelData = pool.get('ir.model.data')
        if Transaction().context.get('client'):
            # A client reads the invoice again only at the end of a wizard
            return Action(Action.get_action_id(ModelData.get_id(
                        'project_progress_invoice', 'wizard_enter_progress'))
                ).get_action_value()

    @classmethod
    @ModelView.button
    def add_progress_section(cls, invoices):
        pool = Pool()
        Line = pool.get('account.invoice.line')
        to_save = []
        for invoice in invoices:
            with Transaction().set_context(language=invoice.party_lang):
                description = gettext(
                    'project_progress_invoice.msg_section_description')
            to_save.append(Line(
                    invoice=invoice,
                    company=invoice.company,
                    currency=invoice.currency,
                    type='title',
                    sequence=invoice.next_line_sequence,
                    description=description))
        Line.save(to_save)

    def get_section_lines(self, section=None):
        "Return the lines under the title line, all without it"
        if not section:
            return list(self.lines)
        lines, current_section = [], None
        for line in self.lines:
            if line.type == 'title':
                current_section = line
            if current_section == section:
                lines.append(line)
        return lines

    def set_progress_ratio(self, ratio, section=None, lines=None):
        """
        Set the ratio, from 0 to 1, on the lines that are not completed

        Only the lines given are set, or those under the section, a title
        line.  Return those that stay because more was billed of them before.
        """
        pool = Pool()
        Line = pool.get('account.invoice.line')
        if (self.state != 'draft' or not self.progress
                or self.progress_credited_invoice):
            raise ProgressLineError(gettext(
                    'project_progress_invoice.msg_set_progress_draft',
                    invoice=self.rec_name))
        if ratio is None or not 0 <= ratio <= 1:  # False for NaN
            raise ProgressLineError(gettext(
                    'project_progress_invoice.msg_ratio',
                    ratio=format_percent(ratio or 0),
                    invoice=self.rec_name))
        if lines is None:
            if section and section not in self.lines:
                raise ProgressLineError(gettext(
                        'project_progress_invoice.msg_section_invoice',
                        section=section.rec_name,
                        invoice=self.rec_name))
            lines = self.get_section_lines(section)
        lines = [
            l for l in lines if l.on_progress and not l.progress_completed]
        beyond = [l for l in lines if l.is_beyond(ratio)]
        if beyond and len(beyond) == len(lines):
            raise ProgressLineError(gettext(
                    'project_progress_invoice.msg_ratio_below_previous',
                    line=beyond[0].rec_name,
                    invoice=self.rec_name))
        Line.set_progress_current([(
                    l, l.progress_previous_quantity if l in beyond
                    else l.get_progress_quantity(ratio))
                for l in lines])
        return beyond

    def get_sale_title(self, sale, sequence):
        "Return the title line for the lines of the sale"
        pool = Pool()
        Line = pool.get('account.invoice.line')
        return Line(
            invoice_type=self.type,
            company=self.company,
            currency=self.currency,
            type='title',
            sequence=sequence,
            description=' - '.join(
                filter(None, [sale.rec_name, sale.description])))

    def get_missing_sale_titles(self):
        "Return the titles of the sales whose lines have none above them"
        pool = Pool()
        SaleLine = pool.get('sale.line')
        titles, sales = [], set()
        titled = False
        for line in self.lines:
            if line.type == 'title':
                titled = True
            elif line.on_progress and isinstance(line.origin, SaleLine):
                sale = line.origin.sale
                if sale not in sales and not titled:
                    titles.append(self.get_sale_title(
                            sale, (line.sequence or 1) - 1))
                sales.add(sale)
        return titles

    @property
    def next_line_sequence(self):
        return max((l.sequence or 0 for l in self.lines), default=0) + 10

    @classmethod
    @ModelView.button_action('project_progress_invoice.act_progress_invoice')
    def next_progress_invoice(cls, invoices):
        return {'res_id': [i.id for i in cls.create_next_progress(invoices)]}

    @classmethod
    @ModelView.button_action('project_progress_invoice.act_progress_invoice')
    def closing_progress_invoice(cls, invoices):
        return {'res_id': [i.id
                for i in cls.create_next_progress(invoices, closing=True)]}

    @classmethod
    def create_next_progress(cls, invoices, closing=False):
        "Create and return the invoices which continue the contracts"
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        cls._lock_billing(invoices)
        next_invoices = []
        documents = Contract.get_documents(
            {i.progress_contract for i in invoices})
        for invoice in invoices:
            # A credit note has not the header of an invoice
            headers = [
                d for d in documents[invoice.progress_contract.id]
                if not d.progress_credited_invoice]
            header = headers[-1] if headers else invoice
            with without_check_access(), \
                    Transaction().set_context(_progress_next=True):
                next_invoices.extend(cls.copy([header], default={
                            **header._get_next_values(),
                            'previous_progress_invoice': invoice.id,
                            'progress_closing': closing,
                            'sequence_type_cache': None,
                            'lines': None,
                            'taxes': None,
                            }))
        return cls.browse(next_invoices)


    def _get_next_values(self):
        "Return the values that the next invoice has not from this one"
        return {}


class InvoiceLine(metaclass=PoolMeta):
    __name__ = 'account.invoice.line'

    progress_line = fields.Many2One(
        'account.progress_contract.line', "Contract Line",
        ondelete='SET NULL', states=editable(False),
        help="The item of the contract.")
    progress_total_quantity = fields.Float(
        "Total",
        help="The quantity of the contract.")
    progress_previous_quantity = fields.Float(
        "Previous",
        help="The quantity billed before.")
    progress_previous = fields.Float(
        "Previous %", digits=(None, 4),
        help="The progress billed before.")
    progress_current_quantity = fields.Float(
        "Current",
        help="The quantity billed including this line.")
    progress_current = fields.Float(
        "Current %", digits=(None, 4),
        help="The progress billed including this line.")
    progress_completed = fields.Boolean(
        "Progress Completed",
        help="Check to bill no more of the line.")
    progress_total_amount = Monetary(
        "Total Amount",
        currency='currency', digits='currency', states=editable(False))
    progress_previous_amount = Monetary(
        "Previous Amount",
        currency='currency', digits='currency', states=editable(False))
    progress_current_amount = Monetary(
        "Current Amount",
        currency='currency', digits='currency', states=editable(False))
    progress_previous_price = Monetary(
        "Previous Unit Price",
        currency='currency', digits=price_digits, states=editable(False),
        help="The unit price at which it was billed before.")
    progress_sale_price = Monetary(
        "Sale Unit Price",
        currency='currency', digits=price_digits, states=editable(False),
        help="The unit price of the line of the sale.")
    progress_credit_quantity = fields.Float(
        "Creditable Quantity", states=editable(False))
    progress_credit_amount = Monetary(
        "Creditable Amount",
        currency='currency', digits='currency', states=editable(False))
    progress_name = fields.Function(
        fields.Char("Item", help="The text of the line or its product."),
        'on_change_with_progress_name')
    section_number = fields.Function(
        fields.Integer("Section"), 'get_section_number')
    # Unlike the unit it brings no other field in the list
    progress_unit = fields.Function(
        fields.Many2One('product.uom', "Unit"), 'get_progress_unit')
    progress_section = fields.Function(
        fields.Many2One(
            'account.invoice.line', "Under Section",
            help="The title above the line."),
        'get_progress_section')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        # It is emptied when the item is deleted
        cls._check_modify_exclude.add('progress_line')
        table = cls.__table__()
        cls._sql_indexes.add(
            Index(
                table,
                (table.progress_line, Index.Range()),
                (table.invoice, Index.Range()),
                where=table.progress_line != Null))
        # Unlike the contract line it has no name to read in the lists
        in_contract = Eval('progress_total_amount', None) != None  # noqa: E711
        # The list to enter the progress has no parent
        progress = (
            Eval('_parent_invoice', {}).get('progress', False) | in_contract)
        draft = Eval('invoice_state') == 'draft'
        first = ~Eval('_parent_invoice', {}).get(
            'previous_progress_invoice', None)
        credit = Bool(Eval('_parent_invoice', {}).get(
                'progress_credited_invoice', None))
        # Unlike the origin it needs no more fields in the lists
        of_sale = Eval('progress_sale_price', None) != None  # noqa: E711
        invisible = (Eval('type') != 'line') | ~progress
        for name, condition in [
                ('progress_total_quantity',
                    draft & ~of_sale & ~credit),
                ('progress_previous_quantity', draft & first & ~credit),
                ('progress_previous', draft & first & ~credit),
                ('progress_current_quantity',
                    draft & ~Eval('progress_completed', False)),
                ('progress_current',
                    draft & ~Eval('progress_completed', False)),
                ('progress_completed', draft & ~credit),
                ]:
            field = getattr(cls, name)
            field.states = {
                'invisible': invisible,
                **editable(condition),
                }
            field.depends.add('invoice')
        for field in [cls.quantity, cls.unit]:
            let_readonly(field, in_contract)

    @classmethod
    def default_progress_completed(cls):
        # The client asks for the defaults of a new row in any list
        cls._check_new_row()
        return False

    @classmethod
    def _check_new_row(cls):
        "Check it is not in the list to enter the progress"
        if Transaction().context.get('progress_entry'):
            raise ProgressLineError(gettext(
                    'project_progress_invoice.msg_enter_progress_new'))

    @classmethod
    def column_quantity_unit(cls, tables):
        table, _ = tables[None]
        return Case(
            (table.progress_current_quantity != Null, Null),
            else_=super().column_quantity_unit(tables))

    @fields.depends('progress_current_quantity')
    def on_change_with_quantity_unit(self, name=None):
        if self.progress_current_quantity is not None:
            return None
        return super().on_change_with_quantity_unit(name=name)

    @property
    def quantity_digits(self):
        "The digits that it takes to show the quantity in the unit"
        if self.quantity_unit:
            return self.unit.digits
        quantity = to_quantity(self.quantity)
        digits = max(-quantity.normalize().as_tuple().exponent, 0)
        if digits == -quantity.as_tuple().exponent:
            # A quotient has no last digit: show enough to tell its amount
            digits = next((
                    d for d in range(4, digits)
                    if self.currency.round(
                        round(quantity, d) * self.unit_price) == self.amount),
                digits)
        return max(digits, self.unit.digits)

    @fields.depends('product', methods=['on_change_with_summary'])
    def on_change_with_progress_name(self, name=None):
        return self.on_change_with_summary() or (
            self.product.rec_name if self.product else '')

    def get_section_number(self, name):
        if self.type != 'title' or not self.invoice:
            return
        titles = [l for l in self.invoice.lines if l.type == 'title']
        return titles.index(self) + 1

    def get_progress_unit(self, name):
        return self.unit.id if self.unit else None

    def get_rec_name(self, name):
        pool = Pool()
        Lang = pool.get('ir.lang')
        if (self.type == 'title' and self.description
                and self.invoice and self.invoice.progress):
            # To recognize the section
            return self.summary
        if Transaction().context.get('progress_entry'):
            # All the rows are of one invoice, their quantities are beside
            if item := self.on_change_with_progress_name():
                return item
        name = super().get_rec_name(name)
        if self.product and self.unit and not self.quantity_unit:
            lang = Lang.get()
            rounded, exact = (
                lang.format_number_symbol(
                    self.quantity or 0, self.unit, digits=digits)
                for digits in [self.unit.digits, self.quantity_digits])
            if name.startswith(rounded):
                name = exact + name[len(rounded):]
        return name

    @classmethod
    def get_progress_section(cls, lines, name):
        def place(line):
            # The order of the lines, those without sequence are first
            return line.sequence is not None, line.sequence, line.id

        titles = defaultdict(list)
        for title in cls.search([
                    ('invoice', 'in', list(
                            {l.invoice.id for l in lines if l.invoice})),
                    ('type', '=', 'title'),
                    ]):
            titles[title.invoice].append(title)
        result = {}
        for line in lines:
            above = titles[line.invoice] if line.type != 'title' else []
            index = bisect(above, place(line), key=place)
            result[line.id] = above[index - 1].id if index else None
        return result

    # The fields of the list to enter the progress
    _entry_fields = {
        'id', 'progress_section', 'progress_name', 'progress_total_quantity',
        'progress_unit', 'progress_previous', 'progress_previous_quantity',
        'progress_current', 'progress_current_quantity',
        'progress_completed', 'unit_price', 'amount', 'currency'}

    @classmethod
    def fields_view_get(cls, view_id=None, view_type='form', level=None):
        ModelData = Pool().get('ir.model.data')
        view = super().fields_view_get(
            view_id=view_id, view_type=view_type, level=level)
        if view['view_id'] == ModelData.get_id(
                'project_progress_invoice', 'enter_progress_view_list'):
            columns = {
                e.get('name')
                for e in etree.fromstring(view['arch']).iter('field')}
            # Another module may add a column
            if columns <= cls._entry_fields:
                view = {**view, 'fields': cls._get_entry_fields(view)}
        return view

    @classmethod
    def _get_entry_fields(cls, view):
        """
        Return the definitions of the fields without most of their states

        The client reads a hundred rows again for each that it saves, and all
        that the states depend on with them.  The items of a draft differ only
        by being completed.
        """
        encoder = PYSONEncoder()
        states = dict.fromkeys(cls._entry_fields, {})
        for name in ['progress_current', 'progress_current_quantity']:
            states[name] = {'readonly': Eval('progress_completed', False)}
        return {
            n: {**d, 'states': encoder.encode(states[n])}
            for n, d in view['fields'].items() if n in states}

    @classmethod
    def view_attributes(cls):
        progress = ~Eval('_parent_invoice', {}).get('progress', False)
        items = Eval('progress_columns', False) | Eval('item_columns', False)
        return super().view_attributes() + [
            ('/form//group[@id="progress"]', 'states', {
                    'invisible': (Eval('type') != 'line') | progress,
                    }),
            ('/tree//field[starts-with(@name, "progress_")'
                ' or @name="section_number"]',
                'tree_invisible', ~Eval('progress_columns', False)),
            ('/tree/field[@name="progress_name"]',
                'tree_invisible', ~items),
            # The amount would not fit beside them
            ('/tree/field[@name="product" or @name="account"]',
                'tree_invisible', items),
            ('/tree/field[@name="quantity" or @name="taxes"]',
                'tree_invisible', Eval('progress_columns', False)),
            ]

    @fields.depends(
        'progress_total_quantity', 'progress_previous_quantity',
        'progress_previous', 'progress_current_quantity', 'progress_current',
        'progress_line',
        methods=[
            'get_progress_quantity', '_progress_item',
            'on_change_with_amount'])
    def _on_change_progress(self):
        if self.progress_total_quantity is None:
            # It will be the quantity
            return
        if not math.isfinite(self.progress_total_quantity):
            # It is refused when saved
            self.progress_current_quantity = self.progress_total_quantity
            return
        # What was typed before the total
        if (self.progress_previous_quantity is None
                and self.progress_previous is not None):
            self.progress_previous_quantity = self.get_progress_quantity(
                self.progress_previous)
        if self.progress_current_quantity is None and not self.progress_line:
            ratio = self.progress_current
            self.progress_current_quantity = self.get_progress_quantity(
                ratio if ratio is not None else 1)
        if not all(math.isfinite(q or 0) for q in [
                    self.progress_previous_quantity,
                    self.progress_current_quantity]):
            # It is refused when saved
            return
        item = self._progress_item
        current = to_quantity(self.progress_current_quantity)
        self.quantity = float(item.get_billed_quantity(current))
        self.progress_previous = item.get_ratio(item.previous)
        self.progress_current = item.get_ratio(current)
        self.amount = self.on_change_with_amount()

    @property
    @fields.depends(
        'unit_price', 'invoice', '_parent_invoice.currency', 'currency',
        'progress_total_quantity', 'progress_previous_quantity',
        'progress_previous_amount', 'progress_previous_price',
        'progress_credit_quantity', 'progress_credit_amount',
        'progress_line', '_parent_invoice.previous_progress_invoice')
    def _progress_item(self):
        "The Item that the figures of the line tell"
        currency = self.invoice.currency if self.invoice else self.currency
        item = Item(
            to_quantity(self.progress_total_quantity),
            self.unit_price or Decimal(0),
            currency.round if currency else Decimal,
            to_quantity(self.progress_previous_quantity),
            self.progress_previous_amount or Decimal(0),
            self.progress_previous_price)
        if (not self.progress_line
                or (self.invoice
                    and not self.invoice.previous_progress_invoice
                    and self.progress_previous_price is not None)):
            item = item.bill_before()
        if self.progress_credit_quantity is not None:
            item = item._replace(creditable=(
                    to_quantity(self.progress_credit_quantity),
                    self.progress_credit_amount or Decimal(0)))
        return item

    @fields.depends('progress_total_quantity')
    def get_progress_quantity(self, ratio):
        "Return the quantity of the ratio, None as long as there is no total"
        if ratio is not None and not math.isfinite(ratio):
            return ratio
        if (self.progress_total_quantity is None
                or not math.isfinite(self.progress_total_quantity)):
            return
        return float(get_part(
                to_quantity(ratio), to_quantity(self.progress_total_quantity)))

    # The fields to type in the list to enter the progress
    _entered_fields = [
        'progress_current_quantity', 'progress_current', 'progress_completed']

    def get_entered(self, line):
        "Return the values typed on the row of the saved line"
        return {
            n: getattr(self, n) for n in self._entered_fields
            if n in (self._values or {})
            and getattr(self, n) != getattr(line, n)}

    @property
    def on_progress(self):
        "If it bills an item"
        return self.progress_current_quantity is not None

    def is_beyond(self, ratio):
        "Return if more was billed before than the ratio"
        return bool(
            self.on_progress
            and not self.progress_completed
            and abs(self.get_progress_quantity(ratio))
            < abs(self.progress_previous_quantity))

    @fields.depends(
        'quantity', 'progress_total_quantity', 'progress_current_quantity',
        'progress_line', 'invoice', '_parent_invoice.progress')
    def on_change_with_progress_total_quantity(self):
        total = self.progress_total_quantity
        if (not self.progress_line
                and self.invoice and self.invoice.progress
                # Until the total or the progress is typed
                and (total is None or self.progress_current_quantity is None)):
            total = self.quantity
        return total

    @fields.depends(
        'progress_current_quantity', 'progress_current', 'progress_line',
        methods=['_on_change_progress'])
    def on_change_progress_total_quantity(self):
        if self.progress_current == 1 and not self.progress_line:
            # It was not typed
            self.progress_current_quantity = None
        self._on_change_progress()

    @fields.depends(
        'progress_previous_quantity', 'progress_current_quantity',
        methods=['_on_change_progress'])
    def on_change_progress_previous_quantity(self):
        if (self.progress_current_quantity is not None
                and abs(self.progress_current_quantity)
                < abs(self.progress_previous_quantity or 0)):
            self.progress_current_quantity = self.progress_previous_quantity
        self._on_change_progress()

    @fields.depends(
        'progress_previous',
        methods=[
            'get_progress_quantity', 'on_change_progress_previous_quantity'])
    def on_change_progress_previous(self):
        self.progress_previous_quantity = self.get_progress_quantity(
            self.progress_previous)
        self.on_change_progress_previous_quantity()

    @fields.depends(
        'progress_total_quantity', 'progress_current_quantity',
        'progress_current', 'progress_line', methods=['_on_change_progress'])
    def on_change_progress_current_quantity(self):
        if self.progress_current_quantity is None and not self.progress_line:
            self.progress_current_quantity = self.progress_total_quantity
        if self.progress_total_quantity is None:
            # The quantity wins
            self.progress_current = None
        self._on_change_progress()

    @fields.depends(
        'progress_current',
        methods=['get_progress_quantity', '_on_change_progress'])
    def on_change_progress_current(self):
        self.progress_current_quantity = self.get_progress_quantity(
            self.progress_current)
        self._on_change_progress()

    @fields.depends(
        'type', 'progress_total_quantity', 'progress_previous_quantity',
        'progress_current_quantity', methods=['_progress_item'])
    def on_change_with_amount(self):
        amount = super().on_change_with_amount()
        if self.type == 'line' and self.progress_current_quantity is not None:
            quantities = [
                self.progress_total_quantity, self.progress_previous_quantity,
                self.progress_current_quantity]
            if not all(math.isfinite(q or 0) for q in quantities):
                # It is refused when saved
                return Decimal(0)
            amount = self._progress_item.get_amount(
                to_quantity(self.progress_current_quantity))
        return amount

    @property
    def _progress_amount(self):
        "The amount of a saved line, to not compute it for each of many lines"
        if not self._values and self.on_progress:
            return self.currency.round(
                self.progress_current_amount - self.progress_previous_amount)

    def get_amount(self, name):
        amount = self._progress_amount
        if amount is None:
            amount = super().get_amount(name)
        return amount

    @property
    @fields.depends(
        'quantity', 'progress_current_quantity',
        methods=['on_change_with_amount'])
    def taxable_lines(self):
        if self.progress_current_quantity is None:
            return super().taxable_lines
        amount = self._progress_amount
        if amount is None:
            amount = self.on_change_with_amount()
        return set_base(super().taxable_lines, amount, self.quantity)

    def get_move_lines(self):
        if self.on_progress and not self.amount:
            return []
        return super().get_move_lines()

    def _credit(self):
        line = super()._credit()
        if self.progress_line:
            line.progress_line = self.progress_line
        return line

    @classmethod
    def get_progress_sums(cls, invoices):
        "Return by id of invoice what its lines bill on progress"
        cursor = Transaction().connection.cursor()
        table = cls.__table__()
        result = defaultdict(Decimal)
        for sub_invoices in grouped_slice(invoices, SLICE):
            query = table.select(
                table.invoice.as_('invoice'),
                Sum(table.progress_current_amount
                    - table.progress_previous_amount).as_('amount'),
                where=fields.SQL_OPERATORS['in'](
                    table.invoice, [i.id for i in sub_invoices])
                & (table.progress_current_amount != Null),
                group_by=table.invoice)
            if backend.name == 'sqlite':
                sqlite_apply_types(query, [None, 'NUMERIC'])
            cursor.execute(*query)
            result.update(cursor)
        return result

    @classmethod
    def get_ordinary_billed(cls, sale_lines, states=('posted', 'paid')):
        """
        Return by id of the lines of manual sales the quantity, in the unit
        of the sale line, and the amount billed by the invoices in the states
        which are not on progress.
        """
        pool = Pool()
        SaleLine = pool.get('sale.line')
        Uom = pool.get('product.uom')
        if not sale_lines:
            return {}
        # Only those are read that have something to tell
        sale_lines = SaleLine.search([
                ('id', 'in', [l.id for l in sale_lines]),
                ('sale.invoice_method', '=', 'manual'),
                ], order=[])
        if not sale_lines:
            return {}
        result = {l.id: (Decimal(0), Decimal(0)) for l in sale_lines}
        domain = [
            ('type', '=', 'line'),
            ('progress_line', '=', None),
            ('invoice.state', 'in', states),
            ]
        lines = cls.search([
                ('origin', 'in', [str(l) for l in sale_lines]), *domain])
        roots = {l: l for l in lines} | cls.search_credits(lines, domain)
        for line, root in roots.items():
            sale_line = root.origin
            quantity, amount = result[sale_line.id]
            if sale_line.unit and line.unit:
                billed = Uom.compute_qty(
                    line.unit, line.quantity, sale_line.unit, round=False)
            else:
                billed = line.quantity
            result[sale_line.id] = (
                quantity + to_quantity(billed), amount + line.amount)
        return result

    @classmethod
    def get_progress_creditable(cls, invoices, excluded=()):
        """
        Return by id of line what the open and live credit notes let to
        credit of the progress invoices as tuple of quantity and amount.
        """
        result = {}
        for invoice in invoices:
            for line in invoice.lines:
                if line.on_progress:
                    result[line.id] = (to_quantity(line.quantity), line.amount)
        credit_lines = cls.search([
                ('invoice.progress_credited_invoice', 'in',
                    [i.id for i in invoices]),
                ('invoice.state', '!=', 'cancelled'),
                ('invoice', 'not in', [i.id for i in excluded]),
                ('progress_current_quantity', '!=', None),
                ])
        for line in credit_lines:
            if line.origin.id in result:
                quantity, amount = result[line.origin.id]
                result[line.origin.id] = (
                    quantity + to_quantity(line.quantity),
                    amount + line.amount)
        return result

    @classmethod
    def add_items(cls, items, invoice):
        """
        Add to the draft a line for each of the items of its contract

        It is a copy of the last line that billed the item, to keep what other
        modules put there, with what is sold now.
        """
        pool = Pool()
        ContractLine = pool.get('account.progress_contract.line')
        Sale = pool.get('sale.sale')
        billed = ContractLine.get_billed(items)
        completed = ContractLine.get_completed(billed)
        last = {
            billed[i.id].invoice_line: i for i in items
            if billed[i.id].invoice_line}
        Sale.check_progress_import({
                i.origin.sale for i in items
                if i.is_sold and not billed[i.id].invoice_line}, invoice)

        def of_item(name):
            def get(data):
                value = getattr(last[data['id']], name)
                return getattr(value, 'id', value)
            return get

        cls.copy(cls.browse(list(last)), default={
                'invoice': invoice.id,
                **{n: of_item(n) for n in [*cls._item_fields, 'sequence']},
                'origin': lambda data: data['origin'],
                'taxes': lambda data: [
                    t.id for t in last[data['id']].taxes],
                'progress_line': lambda data: last[data['id']].id,
                'progress_completed': lambda data: (
                    last[data['id']].id in completed),
                })
        cls.save([
                i.get_invoice_line(invoice) for i in items
                if not billed[i.id].invoice_line])

    @classmethod
    def set_progress_current(cls, currents):
        """
        Set the current quantity of each line

        currents is a list of tuples of line and quantity.
        """
        to_write = []
        for line, quantity in currents:
            to_write.extend(([line], {'progress_current_quantity': quantity}))
        if to_write:
            cls.write(*to_write)

    @classmethod
    def update_progress(cls, lines):
        "Derive again the lines whose item or previous changed"
        lines = [l for l in lines if l.progress_line]
        changes = [l.get_item_values() for l in lines]
        to_write = []
        for line, values in zip(lines, changes):
            if not line.on_progress and values:
                to_write.extend(([line], values))
        work = [
            (l, v) for l, v in zip(lines, changes) if l.on_progress]
        derived = cls.derive_progress(
            [(l, {'progress_completed': l.progress_completed, **v})
                for l, v in work], check=False)
        for (line, values), figures in zip(work, derived):
            if values or any(getattr(line, n) != figures[n] for n in [
                        'progress_total_quantity',
                        'progress_previous_quantity',
                        'progress_previous_amount',
                        'progress_previous_price',
                        'progress_current_quantity',
                        'progress_sale_price',
                        'progress_credit_quantity',
                        'progress_credit_amount']):
                to_write.extend(([line], {
                            **values,
                            'progress_current_quantity': figures[
                                'progress_current_quantity'],
                            }))
        if to_write:
            with Transaction().set_context(_progress_update=True):
                cls.write(*to_write)

    # What an item and the lines of its drafts have in common
    _item_fields = [
        'product', 'description', 'unit', 'unit_price', 'account']

    def get_item_values(self):
        "Return the values of the item that the line has not"
        values = {}
        if self.invoice.progress_credited_invoice:
            return values
        item = self.progress_line
        for name in self._item_fields:
            value = getattr(item, name)
            if getattr(self, name) != value:
                values[name] = getattr(value, 'id', value)
        if self.taxes != item.taxes:
            values['taxes'] = [
                ('remove', [t.id for t in self.taxes]),
                ('add', [t.id for t in item.taxes]),
                ]
        return values

    @classmethod
    def _update_items(cls, lines, field_names=None):
        "Let the items have what was typed on the lines of their drafts"
        pool = Pool()
        ContractLine = pool.get('account.progress_contract.line')

        def is_written(*names):
            return field_names is None or bool(field_names & set(names))

        to_write = []
        for line in lines:
            item = line.progress_line
            invoice = line.invoice
            if (not item or not invoice or invoice.state != 'draft'
                    or invoice.progress_credited_invoice):
                continue
            values = {}
            for name in [*cls._item_fields, 'sequence']:
                value = getattr(line, name)
                if is_written(name) and getattr(item, name) != value:
                    values[name] = getattr(value, 'id', value)
            if is_written('taxes') and line.taxes != item.taxes:
                values['taxes'] = [
                    ('remove', [t.id for t in item.taxes]),
                    ('add', [t.id for t in line.taxes]),
                    ]
            if line.on_progress:
                if line.progress_total_quantity != item.quantity:
                    values['quantity'] = line.progress_total_quantity
                if (not invoice.previous_progress_invoice
                        and not item.is_manual
                        and not same_quantity(
                            to_quantity(line.progress_previous_quantity),
                            to_quantity(item.opening_quantity))):
                    values['opening_quantity'] = (
                        line.progress_previous_quantity)
            if values:
                to_write.extend(([item], values))
        if to_write:
            with without_check_access(), \
                    Transaction().set_context(_progress_typed=True):
                ContractLine.write(*to_write)

    @classmethod
    def check_progress(cls, lines, excluded):
        "Check the figures of the lines against the live documents"
        lines = [l for l in lines if l.on_progress]
        derived = cls.derive_progress(
            [(l, {'progress_completed': l.progress_completed})
                for l in lines], excluded=excluded)
        for line, values in zip(lines, derived):
            names = [
                'progress_total_quantity', 'progress_previous_quantity',
                'progress_previous_amount', 'progress_current_quantity',
                'quantity']
            limit = values['progress_credit_amount']
            if limit is None:
                names.append('progress_current_amount')
            elif not min(0, -limit) <= line.amount <= max(0, -limit):
                raise ProgressCreditError(gettext(
                        'project_progress_invoice.msg_credit_beyond',
                        line=line.rec_name,
                        invoice=line.invoice.rec_name,
                        credited=line.origin.invoice.rec_name))
            for name in names:
                if getattr(line, name) != values[name]:
                    raise ProgressChangedError(gettext(
                            'project_progress_invoice.msg_line_changed',
                            line=line.rec_name,
                            invoice=line.invoice.rec_name,
                            **cls.__names__(field=name)))

    # The fields from which the figures of a line derive
    _progress_depends = {
        'invoice', 'type', 'quantity', 'unit', 'unit_price', 'account',
        'origin', 'progress_line', 'progress_total_quantity',
        'progress_previous_quantity', 'progress_previous',
        'progress_current_quantity', 'progress_current',
        'progress_completed'}

    # The figures that only derive from the others
    _readonly_fields = {
        'progress_line', 'progress_total_amount', 'progress_previous_amount',
        'progress_current_amount', 'progress_previous_price',
        'progress_sale_price', 'progress_credit_quantity',
        'progress_credit_amount'}

    @classmethod
    def create(cls, vlist):
        check_write_access(cls, 'create', *vlist)
        cls._check_new_row()
        for values in vlist if Transaction().check_access else []:
            check_readonly(cls, cls._readonly_fields, values)
        with without_check_access():
            vlist = cls.derive_progress([(None, v) for v in vlist])
        return super().create(vlist)

    @classmethod
    def write(cls, *args):
        check_write_access(cls, 'write', *args[1::2])
        for lines, values in zip(args[::2], args[1::2]):
            if Transaction().check_access:
                check_readonly(cls, cls._readonly_fields, values, lines)
            cls._check_draft(lines, values)
        with without_check_access():
            args = cls._derive_written(args)
        super().write(*args)

    @classmethod
    def _derive_written(cls, args):
        "Return the arguments of write with what derives from the values"
        pool = Pool()
        Invoice = pool.get('account.invoice')
        changes, actions = [], []
        for lines, values in zip(args[::2], args[1::2]):
            if not values.keys() & cls._progress_depends:
                actions.extend((lines, values))
                continue
            moved_to = (
                Invoice(values['invoice']) if values.get('invoice') else None)
            if 'invoice' in values and not moved_to:
                cls._check_removed(lines)
            others = []
            for line in lines:
                invoice = moved_to or line.invoice
                if (line.progress_current_quantity is not None
                        or (invoice
                            and invoice.progress
                            and invoice.is_modifiable)):
                    changes.append((line, values))
                else:
                    others.append(line)
            if values.keys() & {'origin', 'invoice'}:
                for _, record, _ in cls._set_typed([
                            (l, values) for l in others]):
                    record._check_ordinary(values)
            if others or not lines:
                actions.extend((others, {
                            n: v if n not in cls._progress_figures else None
                            for n, v in values.items()}))
        if changes:
            update = Transaction().context.get('_progress_update', False)
            for (line, _), values in zip(
                    changes, cls.derive_progress(changes, check=not update)):
                actions.extend(([line], values))
        return actions

    # The fields of progress to type
    _typed_fields = {
        'progress_total_quantity', 'progress_previous_quantity',
        'progress_previous', 'progress_current_quantity', 'progress_current',
        'progress_completed'}

    @classmethod
    def _check_draft(cls, lines, values):
        "Refuse what is typed on the lines of a validated invoice"
        if (not Transaction().check_access
                or not values.keys() & cls._typed_fields):
            return
        with without_check_access():
            for line in cls.browse(lines):
                if line.invoice and line.invoice.state == 'validated':
                    raise ProgressAccessError(gettext(
                            'project_progress_invoice.msg_line_draft',
                            line=line.rec_name,
                            invoice=line.invoice.rec_name))

    @classmethod
    def _check_removed(cls, lines):
        "Check the lines that leave their invoice are not work of a contract"
        for line in lines:
            if line.progress_line and line.invoice and line.invoice.progress:
                raise ProgressLineError(gettext(
                        'project_progress_invoice.msg_line_removed',
                        line=line.rec_name,
                        invoice=line.invoice.rec_name))

    # The fields that are empty on a line which is not on progress
    _progress_figures = [
        'progress_line', 'progress_total_quantity',
        'progress_previous_quantity', 'progress_previous',
        'progress_current_quantity', 'progress_current',
        'progress_total_amount', 'progress_previous_amount',
        'progress_current_amount', 'progress_previous_price',
        'progress_sale_price', 'progress_credit_quantity',
        'progress_credit_amount']

    @classmethod
    def derive_progress(cls, changes, check=True, excluded=()):
        """
        Return for each tuple of line and values of changes the values
        completed by all the figures that derive from them

        The line is None when it is created.  Without check, the current
        quantity is kept as near as possible when the previous changed.  What
        the excluded documents bill does not count.
        """
        work, texts, new = [], [], []
        changes = cls._set_typed(changes)
        for change in changes:
            line, record, values = change
            names = set(cls._progress_figures)
            if record.is_progress_work:
                work.append(change)
                names.clear()
            elif record.is_progress_text:
                texts.append(change)
                names.remove('progress_line')
            else:
                record._check_ordinary(values)
            if not line or not (line.on_progress or line.progress_line):
                names &= values.keys()
            values.update(dict.fromkeys(names))
            if not line and record.invoice and record.invoice.progress:
                new.append(change)
        cls._place_last(new)
        cls._check_credits(work)
        if not excluded:
            created = cls._set_items(work + texts, check)
        else:
            created = set()
        if work:
            billed = cls._get_billed_before(work, excluded, created)
            cls._check_items(work)
            for line, record, values in work:
                record._derive_progress(line, values, billed, check)
        return [values for _, _, values in changes]

    @classmethod
    def _set_typed(cls, changes):
        """
        Return for each tuple of line and values of changes the line as it is
        saved, a record with the values set and a copy of the values
        """
        pool = Pool()
        Invoice = pool.get('account.invoice')
        names = cls._progress_depends | {'product', 'description', 'sequence'}
        ids = [l.id for l, _ in changes if l]
        # Together to be read together
        lines, records = iter(cls.browse(ids)), iter(cls.browse(ids))
        result = []
        for line, values in changes:
            if line:
                line, record = next(lines), next(records)
            else:
                record = cls(**dict.fromkeys(names))
                record.type = 'line'
            for name in names & values.keys():
                setattr(record, name, values[name])
            result.append(Change(line, record, values.copy()))
        invoices = {
            i.id: i for i in Invoice.browse(list({
                        r.invoice.id for _, r, _ in result if r.invoice}))}
        for _, record, _ in result:
            if record.invoice:
                record.invoice = invoices[record.invoice.id]
        return result

    @property
    def is_progress_work(self):
        """
        If it bills an item of a contract

        A deposit, what is held back and what is recalled are no work, nor is
        what comes from another invoice, unless a credit note credits it.
        """
        if (not self.invoice
                or not self.invoice.progress
                or self.type != 'line'
                or (self.account
                    and self.account.type
                    and self.account.type.deposit)):
            return False
        if isinstance(self.origin, self.__class__):
            return bool(
                self.invoice.progress_credited_invoice and self.progress_line)
        return True

    @property
    def is_progress_text(self):
        "If it is a title, subtotal or comment of a contract"
        return bool(
            self.invoice
            and self.invoice.progress
            and self.type != 'line'
            and (self.progress_line
                or not self.invoice.progress_credited_invoice))

    @classmethod
    def _check_credits(cls, work):
        "Check the lines of credit notes credit work"
        for _, record, _ in work:
            if (record.invoice.progress_credited_invoice
                    and not isinstance(record.origin, cls)):
                raise ProgressCreditError(
                    record._get_progress_message('msg_credit_work'))

    @classmethod
    def _check_sales(cls, work, excluded=()):
        "Check the sales of the work can be billed by its invoices"
        pool = Pool()
        Sale = pool.get('sale.sale')
        SaleLine = pool.get('sale.line')
        sales = defaultdict(set)
        for line, record, values in work:
            # What is posted is checked as if it were new
            if isinstance(record.origin, SaleLine) and (
                    record._is_item_new if excluded
                    else record._is_new(line, values)):
                sales[record.invoice].add(record.origin.sale)
        for invoice, sales in sales.items():
            Sale.check_progress_import(sales, invoice)

    @property
    def _is_item_new(self):
        "If its item came with its draft"
        return bool(
            self.progress_line
            and self.progress_line.brought_by == self.invoice)

    @classmethod
    def _set_items(cls, changes, check):
        """
        Set on the records and on the values the items that they bill and
        return the ids of those that are created
        """
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        ContractLine = pool.get('account.progress_contract.line')
        new, origins = [], set()
        for change in changes:
            line, record, values = change
            if record._has_item(line, values):
                continue
            new.append(change)
            record.progress_line = None
            if record.origin:
                origins.add(str(record.origin))
        if not new:
            return set()
        if check:
            cls._check_sales(new)
        known = defaultdict(dict)
        if origins:
            for item in ContractLine.search([
                        ('origin', 'in', list(origins))], order=[]):
                known[str(item.origin)][item.contract] = item
        to_create, vlist = [], []
        for line, record, values in new:
            contract = record.invoice.progress_contract
            items = known[str(record.origin)]
            if item := items.pop(contract, None):
                record.progress_line = item
            else:
                to_create.append(record)
                vlist.append({
                        **ContractLine.get_values(record),
                        'contract': contract.id,
                        'brought_by': record.invoice.id,
                        'sequence': values.get('sequence', record.sequence),
                        })
                if record.type == 'line':
                    vlist[-1]['quantity'] = float(
                        record.get_progress_total(line, values))
                    if (record.invoice.previous_progress_invoice
                            and hasattr(record.origin, 'sale')):
                        vlist[-1]['change_order'] = record.origin.sale.rec_name
            # The others are of contracts that bill nothing
            ContractLine.delete(list(items.values()))
            Contract.delete_unused(items)
        created = ContractLine.create(vlist)
        for record, item in zip(to_create, ContractLine.browse(created)):
            record.progress_line = item
        for line, record, values in new:
            values['progress_line'] = record.progress_line.id
        return {i.id for i in created}

    def _check_ordinary(self, values):
        "Check it does not bill what a contract bills"
        pool = Pool()
        SaleLine = pool.get('sale.line')
        if (values.keys() & {'origin', 'invoice'}
                and self.type == 'line'
                and isinstance(self.origin, SaleLine)
                and self.origin.progress
                and self.origin.in_progress_contract):
            item, = self.origin.progress_lines
            raise ProgressLineError(gettext(
                    'project_progress_invoice.msg_ordinary_line',
                    line=self.origin.rec_name,
                    contract=item.contract.rec_name))

    def _has_item(self, line, values):
        "Return if the line with the values typed bills the item that it has"
        item = self.progress_line
        if not item:
            return False
        if item.contract != self.invoice.progress_contract:
            if line and item.brought_by == line.invoice:
                return False
            raise ProgressLineError(
                self._get_progress_message('msg_item_other'))
        if self.invoice.progress_credited_invoice:
            return True
        return item.type == self.type and not (
            'origin' in values and item.origin != self.origin)

    @classmethod
    def _get_billed_before(cls, work, excluded, created):
        "Return what was billed before the work"
        pool = Pool()
        ContractLine = pool.get('account.progress_contract.line')
        if excluded:
            cls._check_sales(work, excluded)
        credits = {
            r.invoice for _, r, _ in work
            if r.invoice.progress_credited_invoice}
        creditable = {}
        for credit in credits:
            creditable.update(cls.get_progress_creditable(
                    [credit.progress_credited_invoice], excluded=[credit]))
        return BilledBefore(
            ContractLine.get_billed(
                list({r.progress_line for _, r, _ in work}),
                excluded=excluded),
            creditable, created)

    def _is_new(self, line, values):
        "Return if the line becomes work of its invoice"
        return (
            not line or line.progress_current_quantity is None
            or bool(values.keys() & {'invoice', 'origin', 'progress_line'}))

    @classmethod
    def _check_items(cls, work):
        "Check each item is once on its invoice"
        items = {}
        for invoice in {
                r.invoice for l, r, v in work if r._is_new(l, v)}:
            items[invoice] = {
                l.progress_line: l for l in invoice.lines if l.progress_line}
        created = set()
        for line, record, _ in work:
            invoice = record.invoice
            item = record.progress_line
            if invoice not in items:
                continue
            if (items[invoice].setdefault(item, line) != line
                    or (not line and (invoice, item) in created)):
                raise ProgressLineError(
                    record._get_progress_message('msg_item_twice'))
            if not line:
                created.add((invoice, item))

    def _derive_progress(self, line, values, billed, check):
        "Complete the values typed with the figures that derive from them"
        item = self._get_progress_item(line, values, billed, check)
        current = self._get_progress_current(
            line, values, item, billed, check)
        if check and (fault := item.get_fault(current)):
            self._refuse_progress(fault, item, current)
        quantity, credit_amount = item.creditable or (None, None)
        values.update(
            progress_total_quantity=float(item.total),
            progress_previous_quantity=float(item.previous),
            progress_previous=item.get_ratio(item.previous),
            progress_current_quantity=float(current),
            progress_current=item.get_ratio(current),
            progress_total_amount=item.get_value(item.total),
            progress_previous_amount=item.billed,
            progress_previous_price=item.billed_price,
            progress_current_amount=item.billed + item.get_amount(current),
            progress_sale_price=self._get_sale_price(),
            progress_credit_quantity=(
                float(quantity) if item.creditable else None),
            progress_credit_amount=credit_amount,
            quantity=float(item.get_billed_quantity(current)))
        if item.creditable:
            values['progress_completed'] = False

    def _get_sale_price(self):
        pool = Pool()
        SaleLine = pool.get('sale.line')
        if isinstance(self.origin, SaleLine):
            return self.origin.unit_price

    def get_progress_total(self, line, values):
        """
        Return the quantity that is sold of the item

        That of a sale is the one of its item, else it is typed.
        """
        pool = Pool()
        SaleLine = pool.get('sale.line')
        item = self.progress_line
        typed = self._get_number(values, 'progress_total_quantity')
        if isinstance(self.origin, SaleLine):
            total = to_quantity((item or self.origin).quantity)
            for message, differs in [
                    ('msg_unit_sale', self.unit != (item or self.origin).unit),
                    ('msg_total_sale',
                        typed is not None and not same_quantity(
                            typed, total)),
                    ]:
                if differs:
                    raise ProgressLineError(self._get_progress_message(
                            message, sale=self.origin.sale.rec_name))
            return total
        if item and self.invoice.progress_credited_invoice:
            return to_quantity(item.quantity)
        if typed is None and item:
            typed = item.quantity
        if typed is None:
            typed = self._get_number(values, 'quantity')
        if typed is None and line:
            typed = line.quantity
        return to_quantity(typed)

    def _get_progress_item(self, line, values, billed, check):
        "Return the Item from which the line bills"
        invoice = self.invoice
        item = self.progress_line
        before = billed.items[item.id]
        if line and before.line and self.unit != line.unit:
            raise ProgressLineError(
                self._get_progress_message('msg_unit_contract'))
        price = self.unit_price or Decimal(0)
        bills = item.get_item(before)._replace(
            total=self.get_progress_total(line, values), price=price,
            round=invoice.currency.round,
            billed_price=before.unit_price or (
                None if item.is_manual else price))
        if not (invoice.previous_progress_invoice
                or invoice.progress_credited_invoice
                or item.is_manual):
            # Work billed before Tryton
            typed = self._get_typed(
                values, bills, 'progress_previous', before.quantity)
            if typed is not None or item.is_opening_derived:
                if typed is None:
                    typed = before.quantity
                bills = bills._replace(previous=typed).bill_before()
            return bills
        if invoice.progress_credited_invoice:
            bills = bills._replace(creditable=billed.creditable.get(
                    self.origin.id, (Decimal(0), Decimal(0))))
        if check:
            typed = self._get_typed(
                values, bills, 'progress_previous', bills.previous)
            if typed is not None and not same_quantity(typed, bills.previous):
                message, variables = 'msg_previous_readonly', {}
                if item.is_manual and not invoice.previous_progress_invoice:
                    message = 'msg_previous_manual'
                    variables['sale'] = item.origin.sale.rec_name
                raise ProgressLineError(
                    self._get_progress_message(message, **variables))
        return bills

    def _get_number(self, values, name):
        "Return the number typed, None if there is none"
        value = values.get(name)
        if value is not None and not math.isfinite(value):
            raise ProgressLineError(self._get_progress_message(
                    'msg_not_a_number', **self.__names__(field=name)))
        return value

    def _get_typed(self, values, item, name, shown=None):
        """
        Return the quantity typed of the item, None if there is none

        The ratio of what is shown is not typed but what on_change made of it.
        But all or nothing that comes alone is.
        """
        quantity, ratio = [
            to_quantity(n) if n is not None else None
            for n in [
                self._get_number(values, f'{name}_quantity'),
                self._get_number(values, name)]]
        if ratio in {0, 1} and values.keys() & self._typed_fields <= {
                name, 'progress_completed'}:
            shown = None
        return item.get_typed(
            quantity, ratio, to_quantity(shown) if shown is not None else None)

    def _get_progress_current(self, line, values, item, billed, check):
        "Return the current quantity: typed, kept or else to start with"
        known = line.progress_current_quantity if line else None
        typed = self._get_typed(values, item, 'progress_current', known)
        if (typed is None and not item.creditable and known is not None
                and values.get('progress_current') is None
                and values.keys() & {
                    'progress_previous', 'progress_previous_quantity'}):
            # Only the previous was typed
            typed = item.get_current(to_quantity(known), forward=True)
        completed = self.progress_completed
        if (check and typed is not None and known is not None
                and line.progress_completed and completed
                and not same_quantity(typed, known)):
            raise ProgressCompletedError(
                self._get_progress_message('msg_completed'))
        if typed is None and line:
            typed = known
            if typed is None and not item.creditable:
                # An ordinary line becomes work
                typed = to_quantity(line.quantity) + item.previous
            elif not check and item.creditable:
                # What is credited does not depend on what is billed before
                typed = to_quantity(line.quantity) + item.previous
        if typed is None:
            if item.creditable:
                typed = item.default
            elif self.invoice.progress_closing and not completed:
                typed = item.total
            elif (self.progress_line.id in billed.created
                    and self._get_sale_price() is None):
                typed = item.total
            else:
                typed = item.previous
        return item.get_current(
            to_quantity(typed), forward=not check and not item.creditable)

    def _refuse_progress(self, fault, item, current):
        if fault == 'credit_beyond':
            raise ProgressCreditError(self._get_progress_message(
                    'msg_credit_beyond',
                    credited=self.invoice.progress_credited_invoice.rec_name))
        raise ProgressLineError(self._get_progress_message(
                f'msg_{fault}',
                current=float(current),
                current_percent=format_percent(item.get_ratio(current)),
                previous=float(item.previous),
                previous_percent=format_percent(
                    item.get_ratio(item.previous)),
                total=float(item.total)))

    @classmethod
    def _place_last(cls, changes):
        "Place the new lines after the others of their progress invoices"
        sequences = {}
        for _, record, values in changes:
            if values.get('sequence'):
                continue
            invoice = record.invoice
            if invoice not in sequences:
                sequences[invoice] = invoice.next_line_sequence
            values['sequence'] = sequences[invoice]
            sequences[invoice] += 10

    def _get_progress_message(self, message, **variables):
        if self.id is not None and self.id >= 0:
            name = self.__class__(self.id).rec_name
        elif self.product:
            name = self.product.rec_name
        else:
            name = firstline(self.description or '')
        return gettext(
            f'project_progress_invoice.{message}',
            line=name, invoice=self.invoice.rec_name, **variables)

    @classmethod
    def check_modification(cls, mode, lines, values=None, external=False):
        super().check_modification(
            mode, lines, values=values, external=external)
        if mode == 'write' and 'origin' in values:
            for line in lines:
                # Tryton does not mind, but what is billed goes by it
                if line.progress_line and not line.invoice.is_modifiable:
                    raise ProgressAccessError(gettext(
                            'project_progress_invoice.msg_line_origin',
                            line=line.rec_name,
                            invoice=line.invoice.rec_name))

    @classmethod
    def on_modification(cls, mode, lines, field_names=None):
        super().on_modification(mode, lines, field_names=field_names)
        if mode == 'delete':
            return
        cls._mark_invoices(lines)
        progress = [l for l in lines if l.invoice and l.invoice.progress]
        if field_names is None or field_names & {
                *cls._progress_depends, *cls._item_fields, 'taxes',
                'sequence'}:
            if mode == 'create':
                cls._set_sale_lines([
                        l.progress_line for l in progress if l.progress_line])
            cls._update_items(progress, field_names)
        if field_names is None or field_names & cls._progress_depends:
            cls._update_progress_taxes(progress)

    @classmethod
    def _set_sale_lines(cls, contract_lines):
        """
        Let the sale lines of the contract lines be on progress

        They are no more when all their documents were cancelled.
        """
        pool = Pool()
        SaleLine = pool.get('sale.line')
        sale_lines = {
            l.origin for l in contract_lines
            if l.is_sold and l.type == 'line'}
        sale_lines = [l for l in sale_lines if not l.progress]
        if sale_lines:
            with without_check_access():
                SaleLine.write(SaleLine.browse(sale_lines), {'progress': True})

    @classmethod
    def _mark_invoices(cls, lines):
        """
        Let the invoices of the lines be modified

        The database then lets no one post them at the same time.
        """
        pool = Pool()
        Invoice = pool.get('account.invoice')
        transaction = Transaction()
        if transaction.context.get('_progress_invoice'):
            # Invoice is modified itself
            return
        cursor = transaction.connection.cursor()
        table = Invoice.__table__()
        # No one else sees those that were just made
        new = transaction.create_records[Invoice.__name__]
        invoices = {
            l.invoice for l in lines
            if l.invoice and l.invoice.id not in new}
        for ids in grouped_slice(
                [i.id for i in invoices if i._is_billing], SLICE):
            cursor.execute(*table.update(
                    [table.write_date], [CurrentTimestamp()],
                    where=fields.SQL_OPERATORS['in'](table.id, list(ids))))

    @classmethod
    def _update_progress_taxes(cls, lines):
        # The taxes of a saved invoice follow the lines saved on their own
        pool = Pool()
        Invoice = pool.get('account.invoice')
        if Transaction().context.get('_progress_invoice'):
            # Invoice updates them itself
            return
        invoices = {l.invoice.id for l in lines}
        if invoices:
            Invoice.update_taxes([
                    i for i in Invoice.browse(list(invoices))
                    if i.state == 'draft'])

    @classmethod
    def on_delete(cls, lines):
        pool = Pool()
        ContractLine = pool.get('account.progress_contract.line')
        Invoice = pool.get('account.invoice')
        # The queued tasks must not inherit the context
        context = Transaction().context
        in_invoice = context.get('_progress_invoice')
        cls._mark_invoices(lines)
        with Transaction().set_context(_progress_invoice=False):
            callbacks = super().on_delete(lines)
        progress = [l for l in lines if l.invoice and l.invoice.progress]
        if progress and not in_invoice:
            invoices = {l.invoice.id for l in progress}
            callbacks.append(lambda: Invoice.update_taxes([
                        i for i in Invoice.search([
                                ('id', 'in', list(invoices)),
                                ('state', '=', 'draft'),
                                ])]))
        # What was typed on it is no more sold
        typed = {
            l.progress_line for l in progress
            if l._is_item_new and not l.progress_line.origin}
        if typed:
            callbacks.append(lambda: ContractLine.delete_unused(typed))
        return callbacks

    @classmethod
    def copy(cls, lines, default=None):
        default = default.copy() if default is not None else {}
        for name in cls._progress_figures:
            default.setdefault(name)
        default.setdefault('progress_completed', False)
        return super().copy(lines, default=default)


class ImportProgressStart(ModelView):
    __name__ = 'account.invoice.import_progress.start'

    invoice = fields.Many2One('account.invoice', "Invoice", readonly=True)
    company = fields.Many2One('company.company', "Company", readonly=True)
    party = fields.Many2One(
        'party.party', "Party", readonly=True,
        context={
            'company': Eval('company', -1),
            },
        depends={'company'})
    currency = fields.Many2One(
        'currency.currency', "Currency", readonly=True)
    states = fields.Char("States", readonly=True)
    sales = fields.Many2Many(
        'sale.sale', None, None, "Sales", required=True,
        domain=[
            ('company', '=', Eval('company', -1)),
            ('currency', '=', Eval('currency', -1)),
            ['OR',
                ('invoice_party', '=', Eval('party', -1)),
                [
                    ('invoice_party', '=', None),
                    ('party', '=', Eval('party', -1)),
                    ],
                ],
            ('invoice_method', 'in', ['progress', 'manual']),
            ('lines', 'not where', [
                    ('progress_lines.contract.state', '=', 'closed'),
                    ]),
            If(Eval('states') == 'quotation',
                ('state', '=', 'quotation'),
                If(Eval('states') == 'sale',
                    ('state', 'in', ['confirmed', 'processing']),
                    ('state', 'in',
                        ['quotation', 'confirmed', 'processing']))),
            ])


class ImportProgress(Wizard):
    __name__ = 'account.invoice.import_progress'

    start = StateView(
        'account.invoice.import_progress.start',
        'project_progress_invoice.import_progress_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Import", 'import_', 'tryton-ok', default=True),
            ])
    import_ = StateTransition()

    def default_start(self, fields):
        pool = Pool()
        ModelData = pool.get('ir.model.data')
        action_id = Transaction().context.get('action_id')
        states = None
        for name in ['quotation', 'sale']:
            if action_id and action_id == ModelData.get_id(
                    'project_progress_invoice',
                    f'wizard_import_progress_{name}'):
                states = name
        return {
            'invoice': self.record.id,
            'company': self.record.company.id,
            'party': self.record.party.id,
            'currency': self.record.currency.id,
            'states': states,
            }

    def transition_import_(self):
        pool = Pool()
        Sale = pool.get('sale.sale')
        with check_access():
            # Whoever can not read sales can not import them
            Sale.read([s.id for s in self.start.sales], ['id'])
        Sale.import_progress(list(self.start.sales), self.record)
        return 'end'


class EnterProgressStart(ModelView):
    __name__ = 'account.invoice.enter_progress.start'

    lines = fields.One2Many(
        'account.invoice.line', None, "Lines",
        size=0,  # To not add any
        context={
            'progress_columns': True,
            'progress_entry': True,
            })


class EnterProgress(Wizard):
    __name__ = 'account.invoice.enter_progress'

    start = StateView(
        'account.invoice.enter_progress.start',
        'project_progress_invoice.enter_progress_start_view_form', [
            # Escape, which leaves a cell, would press a button to the end
            Button("Cancel", 'cancel', 'tryton-cancel', validate=False),
            Button("Save", 'save', 'tryton-save', default=True),
            ])
    cancel = StateTransition()
    save = StateTransition()

    def default_start(self, fields):
        return {
            'lines': [l.id for l in self.record.lines if l.on_progress],
            }

    def transition_cancel(self):
        return 'end'

    def transition_save(self):
        pool = Pool()
        Line = pool.get('account.invoice.line')
        lines = {l.id: l for l in self.record.lines if l.on_progress}
        rows = {l.id: l for l in self.start.lines}
        if rows.keys() != lines.keys():
            raise ProgressLineError(gettext(
                    'project_progress_invoice.msg_enter_progress_lines',
                    invoice=self.record.rec_name))
        to_write = []
        for id_, line in lines.items():
            if values := rows[id_].get_entered(line):
                to_write.extend(([line], values))
        if to_write:
            with check_access():
                Line.write(*to_write)
        return 'end'


class SetProgressStart(ModelView):
    __name__ = 'account.invoice.set_progress.start'

    invoice = fields.Many2One('account.invoice', "Invoice", readonly=True)
    lines = fields.Many2Many(
        'account.invoice.line', None, None, "Lines", readonly=True)
    ratio = fields.Float(
        "Progress", digits=(None, 4), required=True,
        help="The progress to set on the lines that are not completed.\n"
        "What was billed beyond it before stays.")
    section = fields.Many2One(
        'account.invoice.line', "Section",
        domain=[
            ('invoice', '=', Eval('invoice', -1)),
            ('type', '=', 'title'),
            ],
        states={
            'invisible': ~Eval('invoice'),
            },
        help="Leave empty to set the progress of all lines.")

    @fields.depends('ratio', 'invoice', 'section', 'lines')
    def on_change_notify(self):
        notifications = super().on_change_notify()
        if self.ratio is not None:
            if self.invoice:
                lines = self.invoice.get_section_lines(self.section)
            else:
                lines = self.lines
            beyond = [l for l in lines or [] if l.is_beyond(self.ratio)]
            if beyond:
                notifications.append(
                    ('warning', self.get_beyond_message(beyond)))
        return notifications

    @classmethod
    def get_beyond_message(cls, lines):
        names = ', '.join(l.progress_name or l.rec_name for l in lines[:5])
        if len(lines) > 5:
            names += '...'
        return gettext(
            'project_progress_invoice.msg_progress_beyond', lines=names)


class SetProgress(Wizard):
    __name__ = 'account.invoice.set_progress'

    start = StateView(
        'account.invoice.set_progress.start',
        'project_progress_invoice.set_progress_start_view_form', [
            Button("Cancel", 'end', 'tryton-cancel'),
            Button("Set", 'set_', 'tryton-ok', default=True),
            ])
    set_ = StateTransition()

    @property
    def _lines(self):
        "The lines selected in a list, None on an invoice"
        if self.model.__name__ == 'account.invoice.line':
            return self.records

    def default_start(self, fields):
        if self._lines is None:
            return {'invoice': self.record.id}
        self._get_lines()
        return {'lines': [l.id for l in self._lines]}

    def _get_lines(self):
        "Return by invoice the lines selected in a list"
        lines = defaultdict(list)
        for line in self._lines:
            if not line.invoice:
                raise ProgressLineError(gettext(
                        'project_progress_invoice.msg_set_progress_line',
                        line=line.rec_name))
            lines[line.invoice].append(line)
        return lines

    def transition_set_(self):
        ratio = self.start.ratio
        if self._lines is None:
            beyond = self.record.set_progress_ratio(ratio, self.start.section)
        else:
            beyond = []
            for invoice, lines in self._get_lines().items():
                beyond += invoice.set_progress_ratio(ratio, lines=lines)
        if beyond:
            # What is shown while the progress is typed may come too late
            notify(self.start.get_beyond_message(beyond))
        return 'end'

    def end(self):
        return 'reload'
