# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
from collections import defaultdict
from itertools import chain

from sql import Null
from sql.conditionals import Case
from trytond.i18n import gettext
from trytond.model import ModelView, fields, sort
from trytond.modules.sale.exceptions import SaleValidationError
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Eval
from trytond.tools import grouped_slice
from trytond.transaction import Transaction, without_check_access

from .billing import RecordFunction
from .common import OPEN, SLICE, ReadonlyMixin, lock_together, to_quantity
from .exceptions import ProgressAccessError, ProgressImportError
from .progress import same_quantity


class Sale(metaclass=PoolMeta):
    __name__ = 'sale.sale'

    progress_contract = fields.Function(
        fields.Many2One(
            'account.progress_contract', "Contract",
            states={
                'invisible': ~Eval('progress_contract'),
                },
            help="The contract that bills the sale on progress."),
        'get_progress_contract', searcher='search_progress_contract')

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls.invoice_method.selection.append(('progress', "On Progress"))
        cls._buttons.update({
                'progress_invoice': {
                    'invisible': ~Eval('state').in_(
                        ['quotation', 'confirmed', 'processing']),
                    'depends': ['state'],
                    },
                'bill_on_progress': {
                    'invisible': (
                        ~Eval('state').in_(['confirmed', 'processing'])
                        | (Eval('invoice_method') == 'progress')),
                    'depends': ['state', 'invoice_method'],
                    },
                })

    @classmethod
    def check_method(cls, sales, field_names=None):
        super().check_method(sales, field_names=field_names)
        if field_names and not (field_names & {
                    'invoice_method', 'shipment_method'}):
            return
        for sale in sales:
            if (sale.invoice_method == 'progress'
                    and sale.shipment_method == 'invoice'):
                raise SaleValidationError(
                    gettext('sale.msg_sale_invalid_method',
                        invoice_method=sale.invoice_method_string,
                        shipment_method=sale.shipment_method_string,
                        sale=sale.rec_name))

    @property
    def on_progress(self):
        "If the sale was ever billed on progress"
        return (
            self.invoice_method in {'progress', 'manual'}
            and any(l.progress for l in self.line_lines))

    @property
    def progress_documents(self):
        "The open and live documents of the contract from the oldest"
        pool = Pool()
        Invoice = pool.get('account.invoice')
        if not self.on_progress:
            return []
        invoices = Invoice.search([
                self._progress_domain,
                ('state', 'in', OPEN + ['posted', 'paid']),
                ],
            order=[('progress_number', 'ASC'), ('id', 'ASC')])
        return [i for i in invoices if not i.is_progress_refund]

    @classmethod
    def get_progress_contract(cls, sales, name):
        "Return the contract that bills each sale, the last if several do"
        pool = Pool()
        ContractLine = pool.get('account.progress_contract.line')
        result = dict.fromkeys((s.id for s in sales))
        for sub_sales in grouped_slice(sales, SLICE):
            for item in ContractLine.search([
                        ('origin.sale', 'in', [s.id for s in sub_sales],
                            'sale.line'),
                        ], order=[('contract', 'ASC')]):
                result[item.origin.sale.id] = item.contract.id
        return result

    @classmethod
    def search_progress_contract(cls, name, clause):
        return [
            ('lines.progress_lines.contract' + clause[0][len(name):],
                *clause[1:]),
            ]

    def get_invoices(self, name):
        if not self.on_progress:
            return super().get_invoices(name)
        field = getattr(self.__class__, name)
        Invoice = field.get_target()
        invoices = set(super().get_invoices(name))
        invoices.update(Invoice.search(self._progress_domain))
        order = field.order if field.order is not None else Invoice._order
        return sort(invoices, order)

    @property
    def _progress_domain(self):
        "The domain of the documents that bill its lines on progress"
        pool = Pool()
        ContractLine = pool.get('account.progress_contract.line')
        items = ContractLine.search([
                ('origin', 'in', [str(l) for l in self.lines]),
                ], order=[])
        return [
            ('progress_contract', 'in', list({i.contract.id for i in items})),
            ('lines.progress_line', 'in', [i.id for i in items]),
            ]

    @classmethod
    def search_invoices(cls, name, clause):
        domain = super().search_invoices(name, clause)
        operator = clause[1]
        if operator.startswith('!') or operator.startswith('not '):
            bool_op = 'AND'
        else:
            bool_op = 'OR'
        return [bool_op,
            domain,
            ('lines', 'where', [
                    ('progress_lines.invoice_lines.invoice'
                        + clause[0][len(name):], *clause[1:]),
                    ('type', '=', 'line'),
                    ]),
            ]

    @property
    def _invoices_for_state(self):
        invoices = super()._invoices_for_state
        on_progress = self.invoice_method == 'progress' or self.on_progress
        # What is cancelled is billed again by the next document
        billed_again = {
            i for i in self.invoices
            if (on_progress or i.progress)
            and (i.state == 'cancelled' or i.is_progress_refund)}
        invoices = [i for i in invoices if i not in billed_again]
        # Not every database lets an invoice of nothing be paid
        nothing = {
            i for i in invoices
            if i.progress and i.state == 'posted' and not i.total_amount}
        return [i for i in invoices if i not in nothing] or invoices

    def get_invoice_state(self):
        state = super().get_invoice_state()
        if (state == 'paid'
                and (self.invoice_method == 'progress' or self.on_progress)
                and not all(l.progress_finished for l in self.line_lines)):
            state = 'partially paid'
        return state

    @classmethod
    def process(cls, sales):
        super().process(sales)
        # A quotation may be billed before it is confirmed
        states = defaultdict(list)
        for sale in sales:
            if sale.state == 'quotation' and sale.on_progress:
                state = sale.get_invoice_state()
                if state != sale.invoice_state:
                    states[state].append(sale)
        for state, sales in states.items():
            cls.write(sales, {'invoice_state': state})

    @classmethod
    def _process_invoice(cls, sales):
        cls._process_contracts([
                s for s in sales
                if s.invoice_method == 'progress' or s.on_progress])
        super()._process_invoice(sales)

    @classmethod
    def _process_contracts(cls, sales):
        "Let the sales be items of their contracts, which begin with them"
        pool = Pool()
        ContractLine = pool.get('account.progress_contract.line')
        with without_check_access():
            contracts = {
                s.progress_contract for s in cls.browse(sales)} - {None}
            ContractLine.add_sale_lines(contracts)
            vlist = []
            for sale in cls.browse(sales):
                lines = [l for l in sale.lines if not l.out_of_contract]
                if not sale.progress_contract and any(
                        l.type == 'line' for l in lines):
                    contract = sale._begin_progress_contract()
                    vlist.extend(
                        l.get_progress_item(
                            contract=contract.id, sequence=l.sequence)
                        for l in lines)
            ContractLine.create(vlist)

    def create_invoice(self):
        if self.invoice_method == 'progress' or self.progress_documents:
            return
        return super().create_invoice()

    @classmethod
    def manual_invoice(cls, sales):
        for sale in sales:
            if documents := sale.progress_documents:
                raise ProgressImportError(gettext(
                        'project_progress_invoice.msg_sale_manual_invoice',
                        sale=sale.rec_name,
                        invoice=documents[-1].rec_name))
        super().manual_invoice(sales)

    @classmethod
    def _process_invoice_fulfillment_states(cls, sales):
        pool = Pool()
        Invoice = pool.get('account.invoice')
        repriced = [
            s for s in sales if any(l.is_repriced for l in s.line_lines)]
        super()._process_invoice_fulfillment_states(sales)
        # A difference of price has no quantity to invoice
        if repriced := [s for s in repriced if not s.to_invoice]:
            cls.write(repriced, {'to_invoice': True})
        # An ordinary invoice of a manual sale may have changed
        contracts = {
            d.progress_contract for s in sales
            if s.invoice_method == 'manual' and s.on_progress
            for d in s.progress_documents}
        if contracts:
            Invoice.update_progress(contracts)

    @classmethod
    def check_progress_import(cls, sales, invoice):
        "Check the lines of the sales can be billed by the progress invoice"
        for sale in sales:
            def refuse(message, **variables):
                raise ProgressImportError(gettext(
                        f'project_progress_invoice.{message}',
                        sale=sale.rec_name, invoice=invoice.rec_name,
                        **variables))

            if sale.invoice_method not in {'progress', 'manual'}:
                refuse('msg_sale_method', method=sale.invoice_method_string)
            if (sale.shipment_method == 'invoice'
                    and any(l.movable for l in sale.line_lines)):
                # A part of a unit can not be shipped
                refuse('msg_sale_shipment',
                    method=sale.shipment_method_string)
            if sale.state not in {'quotation', 'confirmed', 'processing'}:
                refuse('msg_sale_state', state=sale.state_string)
            for name in ['company', 'currency']:
                if getattr(sale, name) != getattr(invoice, name):
                    refuse('msg_sale_other',
                        value=getattr(sale, name).rec_name,
                        expected=getattr(invoice, name).rec_name,
                        **cls.__names__(field=name))
            party = sale.invoice_party or sale.party
            if party != invoice.party:
                refuse('msg_sale_other',
                    value=party.rec_name, expected=invoice.party.rec_name,
                    **cls.__names__(field='party'))
            for document in sale.progress_documents:
                if document.progress_contract != invoice.progress_contract:
                    refuse('msg_sale_contract', document=document.rec_name)
            for line in sale.line_lines:
                for invoice_line in line.invoice_lines:
                    if (invoice_line.invoice
                            and invoice_line.invoice != invoice
                            and not invoice_line.invoice.progress
                            and invoice_line.invoice.state in OPEN):
                        refuse('msg_sale_open_invoice',
                            open=invoice_line.invoice.rec_name)

    @classmethod
    def import_progress(cls, sales, invoice):
        "Add to the draft progress invoice the lines of the sales"
        pool = Pool()
        Invoice = pool.get('account.invoice')
        lock_together([
                *sales, *filter(None, [invoice.progress_contract])])
        if (invoice.state != 'draft' or not invoice.progress
                or invoice.progress_credited_invoice):
            raise ProgressImportError(gettext(
                    'project_progress_invoice.msg_import_draft',
                    invoice=invoice.rec_name))
        cls.check_progress_import(sales, invoice)
        sequence = invoice.next_line_sequence
        # A line deleted from the draft may be imported again
        present = {
            l.progress_line.origin for l in invoice.lines if l.progress_line}
        several = len(
            {o.sale for o in present if o and o.__name__ == 'sale.line'}
            | set(sales)) > 1
        lines = []
        if several:
            lines.extend(invoice.get_missing_sale_titles())
        for sale in sales:
            sale_lines = sale.get_progress_invoice_lines(present)
            if not any(l.type == 'line' for l in sale_lines):
                raise ProgressImportError(gettext(
                        'project_progress_invoice.msg_sale_imported',
                        sale=sale.rec_name, invoice=invoice.rec_name))
            if several:
                lines.append(invoice.get_sale_title(sale, sequence))
                sequence += 10
            for line in sale_lines:
                line.sequence = sequence
                sequence += 10
            lines.extend(sale_lines)
        with without_check_access():
            invoice = Invoice(invoice.id)
            invoice.lines = [*invoice.lines, *lines]
            invoice.save()
        cls.__queue__.process(sales)

    def get_progress_invoice_lines(self, present):
        """
        Return the lines to bill the whole sale on progress but those whose
        sale line is present
        """
        return [
            l.get_progress_invoice_line() for l in self.lines
            if l not in present]

    @classmethod
    @ModelView.button_action('project_progress_invoice.act_progress_invoice')
    def progress_invoice(cls, sales):
        lock_together(sales)
        return {'res_id': [s.get_progress_invoice().id for s in sales]}

    def get_progress_invoice(self):
        "Return the open progress invoice or else a new one"
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        Invoice = pool.get('account.invoice')
        documents = self.progress_documents
        for document in documents:
            if (document.state in OPEN
                    and not document.progress_credited_invoice):
                return document
        contract = self.progress_contract
        if documents:
            # A refund may have come back to life beside a later contract
            last = max(
                (c.last_document
                    for c in {d.progress_contract for d in documents}),
                key=lambda l: (bool(l.progress_current_amount), l.id))
            invoice, = Invoice.create_next_progress([last])
        else:
            with Transaction().set_context(skip_grouping=True):
                invoice = self._get_invoice()
            invoice.progress = True
            invoice.description = self.description
            if contract and contract.is_of(invoice):
                Contract.process([contract])
                contract.check_open()
                invoice.progress_contract = contract
                invoice.save()
            else:
                invoice.progress_contract = self._begin_progress_contract()
                invoice.save()
                self.__class__.import_progress([self], invoice)
            self.copy_resources_to(invoice)
        return invoice

    def _begin_progress_contract(self):
        "Return a new contract to bill the sale"
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        contract = Contract(
            company=self.company,
            party=self.invoice_party or self.party,
            currency=self.currency,
            description=self.description,
            reference=self.reference,
            by_hand=False)
        contract.save()
        return contract

    def get_ordinary_invoice_lines(self):
        "Return the lines of the invoices made without progress"
        return list(chain(*(l.invoice_lines for l in self.line_lines)))

    @classmethod
    @ModelView.button
    def bill_on_progress(cls, sales):
        pool = Pool()
        Invoice = pool.get('account.invoice')
        InvoiceLine = pool.get('account.invoice.line')
        lock_together(sales)
        lines, invoices = [], set()
        for sale in sales:
            for line in sale.get_ordinary_invoice_lines():
                if not line.invoice:
                    lines.append(line)
                elif line.invoice.state in OPEN:
                    lines.append(line)
                    invoices.add(line.invoice)
                elif line.invoice.state != 'cancelled':
                    raise ProgressImportError(gettext(
                            'project_progress_invoice.msg_sale_posted',
                            sale=sale.rec_name,
                            invoice=line.invoice.rec_name))
        with without_check_access():
            cls.write(sales, {'invoice_method': 'progress'})
            invoices = Invoice.browse(invoices)
            Invoice.draft([i for i in invoices if i.state == 'validated'])
            InvoiceLine.delete(lines)
            invoices = Invoice.browse(invoices)
            Invoice.delete([i for i in invoices if not i.lines])
            Invoice.update_taxes([i for i in invoices if i.lines])
        cls.process(sales)

    @classmethod
    def _check_progress(cls, sales, states, message='msg_sale_in_contract'):
        "Refuse what the progress invoices in the states forbid"
        for sale in sales:
            for document in sale.progress_documents:
                if document.state in states:
                    raise ProgressAccessError(gettext(
                            f'project_progress_invoice.{message}',
                            sale=sale.rec_name,
                            invoice=document.rec_name))

    @classmethod
    def cancel(cls, sales):
        if Transaction().context.get('_skip_on_progress'):
            sales = [s for s in sales if not s.progress_documents]
        cls._check_progress(sales, OPEN + ['posted', 'paid'])
        super().cancel(sales)
        cls._leave_contracts(sales)

    @classmethod
    def draft(cls, sales):
        cls._check_progress(sales, OPEN + ['posted', 'paid'])
        super().draft(sales)
        cls._leave_contracts(sales)

    @classmethod
    def _leave_contracts(cls, sales):
        "Delete the items of the sales that no document ever billed"
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        ContractLine = pool.get('account.progress_contract.line')
        with without_check_access():
            items = ContractLine.search([
                    ('origin.sale', 'in', [s.id for s in sales],
                        'sale.line'),
                    ], order=[])
            contracts = {i.contract for i in items}
            ContractLine.delete_unused(items)
            Contract.delete_unused(contracts)

    @classmethod
    def cancel_expired_quotation(cls):
        with Transaction().set_context(_skip_on_progress=True):
            super().cancel_expired_quotation()

    @classmethod
    def check_modification(cls, mode, sales, values=None, external=False):
        super().check_modification(
            mode, sales, values=values, external=external)
        # The buttons change them, which check by themselves
        if mode == 'delete' or (
                external and mode == 'write'
                and values.keys() & {'state', 'invoice_method'}):
            cls._check_progress(sales, OPEN + ['posted', 'paid'])


class SaleLine(ReadonlyMixin, metaclass=PoolMeta):
    __name__ = 'sale.line'
    _readonly_fields = {'progress', 'out_of_contract'}

    progress = fields.Boolean(
        "On Progress", readonly=True,
        help="If the line was ever billed on progress.")
    out_of_contract = fields.Boolean(
        "Out of Contract", readonly=True,
        help="If its item was deleted from the contract of the sale.")
    progress_lines = fields.One2Many(
        'account.progress_contract.line', 'origin', "Contract Lines",
        readonly=True)
    progress_billed_quantity = fields.Function(
        fields.Float("Quantity Billed on Progress"),
        'get_progress_quantities')
    progress_paid_quantity = fields.Function(
        fields.Float("Quantity Paid on Progress"),
        'get_progress_quantities')
    progress_finished = fields.Function(
        fields.Boolean("Progress Finished"), 'get_progress_quantities')
    in_progress_contract = fields.Function(
        fields.Boolean("In Progress Contract"), 'get_progress_quantities')
    quantity_unit = RecordFunction(
        fields.Many2One(
            'product.uom', "Quantity Unit",
            help="The unit whose digits the invoiced quantities have."),
        None)

    @classmethod
    def __setup__(cls):
        super().__setup__()
        # The unit never decides the money
        # Its contract tells what is billed on progress
        cls.invoice_lines.filter = [('progress_current_quantity', '=', None)]
        cls.quantity_to_invoice.digits = 'quantity_unit'
        cls.actual_quantity.digits = 'quantity_unit'

    @classmethod
    def column_quantity_unit(cls, tables):
        table, _ = tables[None]
        return Case(
            (table.progress == True, Null),  # noqa: E712
            else_=table.unit)

    @fields.depends('unit', 'progress')
    def on_change_with_quantity_unit(self, name=None):
        return self.unit if not self.progress else None

    @classmethod
    def get_progress_quantities(cls, lines, names):
        """
        Return what the progress invoices bill of the lines, in their unit

        It includes what the ordinary invoices of a manual sale billed.
        """
        pool = Pool()
        Contract = pool.get('account.progress_contract')
        ContractLine = pool.get('account.progress_contract.line')
        flags = {'progress_finished', 'in_progress_contract'}
        result = {
            n: dict.fromkeys(
                (l.id for l in lines), False if n in flags else 0.)
            for n in names}
        if 'progress_finished' in names:
            for line in lines:
                if line.type == 'line' and not line.quantity:
                    result['progress_finished'][line.id] = True
        # The lines of the sale are all finished when its contract is closed
        lines = [
            l for l in lines
            if l.type == 'line'
            and l.sale.invoice_method in {'progress', 'manual'}]
        on_progress = cls.search([
                ('sale', 'in', list({l.sale.id for l in lines})),
                ('progress', '=', True),
                ]) if lines else []
        if not on_progress:
            return result
        with without_check_access():
            items = ContractLine.search([
                    ('origin', 'in', [str(l) for l in on_progress]),
                    ], order=[])
            billed = ContractLine.get_billed(items)
            completed = ContractLine.get_completed(billed)
            closed = Contract.get_closed({i.contract for i in items})
        items = {i.origin.id: i for i in items}
        closed_sales = {
            l.sale for l in on_progress
            if l.id in items and items[l.id].contract.id in closed
            and billed[items[l.id].id].used}
        for line in lines:
            item = items.get(line.id)
            if not item:
                continue
            billed_ = billed[item.id]
            figures = {
                'progress_billed_quantity': billed_.quantity,
                'progress_paid_quantity': billed_.paid,
                'in_progress_contract': billed_.used,
                'progress_finished': (
                    not line.quantity
                    or line.sale in closed_sales
                    or item.id in completed
                    or item.is_billed(billed_)),
                }
            if not billed_.line and not item.is_manual:
                # It follows the posting as what is left to invoice
                figures['progress_billed_quantity'] -= billed_.opening
                figures['progress_paid_quantity'] -= billed_.opening
            for name in names:
                value = figures[name]
                if name not in flags:
                    value = float(value)
                result[name][line.id] = value
        return result

    @classmethod
    def check_progress_billed(cls, lines):
        """
        Check all their contracts together bill no more than the lines

        A refund that comes back to life may stand beside a later contract.
        """
        for line in cls.browse(lines):
            billed = line.progress_billed_quantity
            quantity = line.progress_lines[0].quantity
            if (abs(billed) > abs(quantity)
                    and not same_quantity(billed, quantity)):
                raise ProgressAccessError(gettext(
                        'project_progress_invoice.msg_sale_billed_twice',
                        line=line.rec_name,
                        billed=billed,
                        quantity=quantity,
                        documents=', '.join(
                            d.rec_name
                            for d in line.sale.progress_documents)))

    @property
    def is_repriced(self):
        "If its price was amended after all its quantity was billed"
        return bool(
            self.progress and not self.progress_finished
            and same_quantity(self.quantity, self.progress_billed_quantity))

    @property
    def _invoice_remaining_quantity(self):
        if self.progress and self.type == 'line':
            return float(
                to_quantity(self.quantity)
                - to_quantity(self.progress_paid_quantity))
        return super()._invoice_remaining_quantity

    @property
    def on_progress(self):
        "If it is to bill as work, not as it is shipped"
        return (
            self.sale.invoice_method == 'progress'
            or self.progress and self.sale.invoice_method == 'manual')

    def get_progress_item(self, **values):
        "Return the values of its item, completed by those given"
        pool = Pool()
        ContractLine = pool.get('account.progress_contract.line')
        item = {
            **ContractLine.get_values(self),
            'origin': str(self),
            **values,
            }
        # It has the account of its product
        del item['account']
        if self.type == 'line':
            item['taxes'] = [('add', [t.id for t in self.taxes])]
        return item

    def get_progress_invoice_line(self):
        "Return the line, not saved, that bills it for the first time"
        pool = Pool()
        InvoiceLine = pool.get('account.invoice.line')
        if self.type == 'line':
            with Transaction().set_context(_progress_total=True):
                line, = self.get_invoice_line()
            return line
        return InvoiceLine(
            type=self.type,
            invoice_type='out',
            company=self.company,
            currency=self.currency,
            origin=self,
            description=self.description,
            note=self.note)

    def _get_invoice_line_quantity(self):
        if Transaction().context.get('_progress_total'):
            # What is still to be measured is sold as well
            return self.quantity or 1
        if self.on_progress:
            return self.quantity
        return super()._get_invoice_line_quantity()

    def _get_invoiced_quantity(self):
        if Transaction().context.get('_progress_total'):
            return 0
        if self.on_progress:
            if self.progress_finished:
                return self.quantity
            return self.progress_billed_quantity
        return super()._get_invoiced_quantity()

    def _get_move_invoice_lines(self, shipment_type):
        # The price of the move is not the one of a part of a unit
        return [
            l for l in super()._get_move_invoice_lines(shipment_type)
            if not l.progress_line]

    def _get_invoice_line_moves(self, quantity):
        if Transaction().context.get('_progress_total'):
            return []
        return super()._get_invoice_line_moves(quantity)

    def set_quantities(self):
        if self.progress and not self.in_progress_contract:
            # All its documents are gone
            self.progress = False
        if self.type != 'line' or not self.progress:
            super().set_quantities()
            return
        if 'invoice' in {
                self.sale.shipment_method,
                getattr(self.sale, 'task_creation_method', None)}:
            # What follows what is paid
            super().set_quantities()
        # The unit never decides the money
        invoiced = to_quantity(self._get_invoiced_quantity())
        moved = sum(
            to_quantity(m.quantity) for m in self.moves
            if m.state != 'cancelled' and m.unit == self.unit)
        quantities = {
            'quantity_to_invoice': to_quantity(self.quantity) - invoiced,
            'actual_quantity': max(
                moved.copy_sign(to_quantity(self.quantity)) if moved else 0,
                to_quantity(self.progress_billed_quantity), key=abs),
            }
        for name, quantity in quantities.items():
            # What did not move is not written
            if getattr(self, name) != float(quantity):
                setattr(self, name, float(quantity))

    # What its item has in common
    _progress_fields = [
        'product', 'description', 'quantity', 'unit', 'unit_price', 'taxes']

    @classmethod
    def write(cls, *args):
        before = {}
        with without_check_access():
            for lines, values in zip(args[::2], args[1::2]):
                if values.keys() & set(cls._progress_fields):
                    before.update(
                        (l.id, l._get_progress_values())
                        for l in cls.browse(lines) if l.progress_lines)
        super().write(*args)
        if before:
            with without_check_access():
                cls._update_items(before)

    def _get_progress_values(self):
        return {n: getattr(self, n) for n in self._progress_fields}

    @classmethod
    def _update_items(cls, before):
        "Let the items have what changed on the lines since before"
        pool = Pool()
        ContractLine = pool.get('account.progress_contract.line')
        to_write = []
        for line in cls.browse(list(before)):
            old, new = before[line.id], line._get_progress_values()
            values = {
                n: getattr(v, 'id', v) for n, v in new.items() if v != old[n]}
            if 'taxes' in values:
                values['taxes'] = [
                    ('remove', [t.id for t in line.progress_lines[0].taxes]),
                    ('add', [t.id for t in new['taxes']]),
                    ]
            if 'product' in values and line.product:
                values['account'] = line.product.account_revenue_used.id
            if values:
                to_write.extend((list(line.progress_lines), values))
        if to_write:
            ContractLine.write(*to_write)

    @classmethod
    def check_modification(cls, mode, lines, values=None, external=False):
        super().check_modification(
            mode, lines, values=values, external=external)
        if (external and mode == 'write'
                and values.keys() & {'sale', 'type', 'unit'}):
            for sale in {l.sale for l in lines if l.in_progress_contract}:
                sale._check_progress([sale], OPEN + ['posted', 'paid'])

    @classmethod
    def on_delete(cls, lines):
        pool = Pool()
        ContractLine = pool.get('account.progress_contract.line')
        callbacks = super().on_delete(lines)
        with without_check_access():
            items = ContractLine.search([
                    ('origin', 'in', [str(l) for l in lines]),
                    ], order=[])
        if items:
            callbacks.append(lambda: ContractLine.delete(items))
        return callbacks

    @classmethod
    def copy(cls, lines, default=None):
        default = default.copy() if default is not None else {}
        default.setdefault('progress', False)
        default.setdefault('out_of_contract', False)
        default.setdefault('progress_lines')
        return super().copy(lines, default=default)
