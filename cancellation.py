# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
from collections import defaultdict
from decimal import Decimal
from itertools import chain

from sql import Null
from sql.conditionals import Case
from trytond.i18n import gettext
from trytond.model import Index, ModelView, fields
from trytond.modules.currency.fields import Monetary
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval
from trytond.transaction import Transaction, without_check_access

from .advance import Available
from .billing import has_fixed_tax, set_base
from .common import (
    OPEN, check_readable, check_readonly, editable, let_readonly,
    lock_together, to_quantity)
from .exceptions import (
    AdvanceAccessError, AdvanceAssociationError, AdvanceDepositError,
    AdvanceResidualError, OpenAdvanceWarning, ProgressContractError)


class Invoice(metaclass=PoolMeta):
    __name__ = 'account.invoice'

    # To not read the lines of the other invoices
    project_billing = fields.Boolean(
        "Project Billing", readonly=True,
        help="If it bills advances or interventions of projects.")

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._readonly_fields = cls._readonly_fields | {'project_billing'}
        cls.lines.depends.add('project_billing')

    @classmethod
    def _get_columns_context(cls):
        return {
            **super()._get_columns_context(),
            # Titles and cancellations have no product
            'item_columns': Eval('project_billing', False),
            }

    @classmethod
    def validate_fields(cls, invoices, field_names):
        super().validate_fields(invoices, field_names)
        cls.check_project_billing(invoices, field_names)

    @classmethod
    def check_project_billing(cls, invoices, field_names=None):
        if field_names and not (field_names & {'progress', 'project_billing'}):
            return
        for invoice in invoices:
            if invoice.progress and invoice.project_billing:
                raise ProgressContractError(gettext(
                        'project_progress_invoice.msg_progress_project',
                        invoice=invoice.rec_name))

    @property
    def _is_billing(self):
        return super()._is_billing or self.project_billing

    @property
    def advances(self):
        "The advances that the lines bill or cancel or that cover them"
        pool = Pool()
        Line = pool.get('account.invoice.line')
        return Line.get_advances(self.lines if self.project_billing else [])

    @classmethod
    def _get_billing_records(cls, invoices):
        records = super()._get_billing_records(invoices)
        records.extend(a for i in invoices for a in i.advances)
        return records

    @classmethod
    def _check_billing(cls, invoices):
        "Check the advances after the invoices changed of state"
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        with without_check_access():
            invoices = cls.browse([i for i in invoices if i.project_billing])
            if advances := set().union(*(i.advances for i in invoices)):
                advances = Advance.browse(advances)
                Advance.check_residual(advances)
                Advance.check_billed_once(advances)

    @property
    def advance_keys(self):
        """
        The tuples of project, party and date on which the advances depend
        that could pay the lines
        """
        pool = Pool()
        Work = pool.get('project.work')
        works = {a.work for a in self.advances}
        for work in Work.search(['OR', *(
                        (f'{name}invoice_line.invoice', '=', self.id)
                        for name in [
                            '', 'invoiced_progress.',
                            'timesheet_works.timesheet_lines.'])]):
            works.add(next(
                    (w for w in work.lineage if w.type == 'project'), work))
        return {(w, self.party, w.invoicing_date) for w in works}

    @classmethod
    @ModelView.button
    def post(cls, invoices):
        cls._warn_open_advances([i for i in invoices if i.project_billing])
        super().post(invoices)

    @classmethod
    def _warn_open_advances(cls, invoices):
        "Warn of the advances that could still pay a part of the invoices"
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        Lang = pool.get('ir.lang')
        Warning = pool.get('res.user.warning')
        for invoice in invoices:
            to_pay = sum(
                l.amount for l in invoice.lines
                if l.type == 'line' and (
                    l.advance_cancellation
                    or l.goes_on and not l.advance_invoice))
            if invoice.move or to_pay <= 0:
                continue
            with without_check_access():
                ranked = Advance.get_ranked(
                    k for k in invoice.advance_keys if k[0].proposes_advances)
                available = Advance.get_available(
                    list(set(chain(*ranked.values()))))
                advances = [a for a in available.values() if a.amount]
            if not advances:
                continue
            key = Warning.format('open_advances', [invoice])
            if Warning.check(key):
                lang = Lang.get()
                raise OpenAdvanceWarning(key, gettext(
                        'project_progress_invoice.msg_open_advances',
                        invoice=invoice.rec_name,
                        advances='\n'.join(
                            f'{a.advance.rec_name}: ' + lang.currency(
                                a.amount, a.advance.currency)
                            for a in advances)))

    @classmethod
    def _post(cls, invoices):
        super()._post(invoices)
        cls._check_billing(invoices)

    @classmethod
    def _check_posting(cls, invoices):
        super()._check_posting(invoices)
        cls._check_advances([i for i in invoices if i.project_billing])

    @classmethod
    def _check_advances(cls, invoices):
        pool = Pool()
        Line = pool.get('account.invoice.line')
        for invoice in invoices:
            for line in invoice.lines:
                advance = line.advance_invoice
                if advance and (
                        advance.party != invoice.party
                        or advance.currency != invoice.currency):
                    raise AdvanceAssociationError(gettext(
                            'project_progress_invoice.msg_advance_invoice',
                            advance=advance.rec_name,
                            invoice=invoice.rec_name,
                            party=(
                                advance.party.rec_name if advance.party
                                else ''),
                            currency=advance.currency.rec_name))
            Line.check_cancelled_value(invoice.lines)
        Line.check_given_back([l for i in invoices for l in i.lines])

    @classmethod
    def cancel(cls, invoices):
        super().cancel(invoices)
        cls._check_billing(invoices)

    @classmethod
    def draft(cls, invoices):
        pool = Pool()
        Line = pool.get('account.invoice.line')
        super().draft(invoices)
        with without_check_access():
            # The lines can change while it is cancelled
            Line.update_cancellations(
                [i for i in invoices if i.project_billing])
        cls._check_billing(invoices)

    @classmethod
    def cancel_advances(cls, invoices):
        """
        Add to the draft invoices the lines that cancel the advances which
        cover their lines

        The advances must be locked.
        """
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        Line = pool.get('account.invoice.line')
        covers = {
            i: Line.get_covers([l for l in i.lines if l.covered_by_advance])
            for i in invoices}
        available = Advance.get_available(list({
                    a for advances in covers.values()
                    for advance in advances.values() for a in advance}))
        for invoice, advances in covers.items():
            amounts = Advance.allocate(
                [(l.amount, a) for l, a in advances.items()], available,
                limit=sum(l.amount for l in invoice.lines))
            invoice.lines = [
                *invoice.lines,
                *Advance.get_cancellation_lines(amounts, available)]
            invoice.project_billing = True
        # The taxes are updated as the invoices are modified
        cls.save(invoices)

    @property
    @fields.depends('project_billing', 'company')
    def taxable_lines(self):
        pool = Pool()
        Configuration = pool.get('account.configuration')
        Line = pool.get('account.invoice.line')
        if (not self.project_billing
                or Configuration(1).get_multivalue(
                    'tax_rounding',
                    company=self.company.id if self.company else None)
                != 'line'):
            return super().taxable_lines
        return Line.get_taxable_by_line(
            [l for l in self.lines if getattr(l, 'type', None) == 'line'])

    @classmethod
    def credit(cls, invoices, refund=False, **values):
        # A refund is always of the whole invoice
        with Transaction().set_context(_advance_credit_rest=not refund):
            return super().credit(invoices, refund=refund, **values)

    def _credit(self, **values):
        pool = Pool()
        Line = pool.get('account.invoice.line')
        credit = super()._credit(**values)
        credit.project_billing = self.project_billing
        if (self.project_billing
                and Transaction().context.get('_advance_credit_rest')):
            credit.lines = Line.get_credit_rest(credit.lines)
        return credit

    @classmethod
    def copy(cls, invoices, default=None):
        default = default.copy() if default is not None else {}
        default.setdefault('project_billing', False)
        if any(i.advances for i in invoices):
            # What is not a copy of the advance would be a line typed by hand
            lines = {
                i.id: [l.id for l in i.lines if not l.advance_invoice]
                for i in invoices}
            default.setdefault('lines', lambda data: lines[data['id']])
        return super().copy(invoices, default=default)

    def call_deposit(self, account, description, maximum=None):
        pool = Pool()
        Line = pool.get('account.invoice.line')
        Line.refuse_deposit_account(self, account)
        return super().call_deposit(account, description, maximum=maximum)


class InvoiceLine(metaclass=PoolMeta):
    __name__ = 'account.invoice.line'

    advance_invoice = fields.Many2One(
        'project.advance_invoice', "Advance Invoice",
        ondelete='RESTRICT', readonly=True,
        states={
            'invisible': ~Eval('advance_invoice'),
            },
        help="The advance that the line bills or cancels.")
    advance_cancellation = fields.Boolean(
        "Advance Cancellation", readonly=True,
        states={
            'invisible': ~Eval('advance_invoice'),
            },
        help="If the line cancels the advance.")
    cancellation_typed = fields.Boolean(
        "Cancellation Typed", states=editable(False),
        help="If the quantity of the cancellation was typed by hand.")
    advance_amount = Monetary(
        "Advance Amount", currency='currency', digits='currency',
        states=editable(False))
    covered_by_advance = fields.Many2One(
        'project.advance_invoice', "Covered by Advance",
        ondelete='RESTRICT', readonly=True,
        states={
            'invisible': ~Eval('covered_by_advance'),
            },
        help="The advance that is cancelled for the line.")

    _advance_fields = {
        'advance_invoice', 'advance_cancellation', 'covered_by_advance'}
    # What the server derives of an advance
    _derived_fields = {'cancellation_typed', 'advance_amount'}

    # The fields of a line which tell what it bills
    _billing_fields = {'invoice', 'type', 'origin'}
    # The fields of a line of an advance which are those of the advance
    _advance_readonly_fields = {
        'product', 'unit', 'unit_price', 'account', 'taxes', 'taxes_date'}

    @classmethod
    def __setup__(cls):
        super().__setup__()
        cls._readonly_fields = cls._readonly_fields | cls._advance_fields
        table = cls.__table__()
        cls._sql_indexes.update(
            Index(
                table,
                (column, Index.Range()),
                where=column != Null)
            for column in [table.advance_invoice, table.covered_by_advance])
        of_advance = Bool(Eval('advance_invoice', None))
        conditions = dict.fromkeys(
            cls._advance_readonly_fields, of_advance)
        conditions['origin'] = (
            of_advance | Bool(Eval('covered_by_advance', None)))
        conditions['quantity'] = (
            of_advance & ~Eval('advance_cancellation', False)
            & (Eval('quantity', 0) > 0))
        for name, condition in conditions.items():
            let_readonly(getattr(cls, name), condition)

    @classmethod
    def default_advance_cancellation(cls):
        return False

    @classmethod
    def default_cancellation_typed(cls):
        return False

    @classmethod
    def _get_origin(cls):
        return super()._get_origin() + ['project.advance_invoice']

    @classmethod
    def column_quantity_unit(cls, tables):
        table, _ = tables[None]
        of_advance = (
            (table.advance_invoice != Null)
            | (table.covered_by_advance != Null))
        return Case(
            (table.advance_cancellation == True, Null),  # noqa: E712
            # What is left to credit may be any part of a unit
            (of_advance & (table.quantity < 0), Null),
            else_=super().column_quantity_unit(tables))

    @fields.depends(
        'advance_cancellation', 'quantity', 'advance_invoice',
        'covered_by_advance')
    def on_change_with_quantity_unit(self, name=None):
        of_advance = self.advance_invoice or self.covered_by_advance
        if (self.advance_cancellation
                or of_advance and (self.quantity or 0) < 0):
            return None
        return super().on_change_with_quantity_unit(name=name)

    @fields.depends('advance_cancellation')
    def on_change_with_product_uom_category(self, name=None):
        # The unit is the one of the advance whatever the product has
        if self.advance_cancellation:
            return None
        return super().on_change_with_product_uom_category(name=name)

    @fields.depends('advance_invoice', 'account', 'taxes', 'unit')
    def on_change_product(self):
        if self.advance_invoice:
            # They are those of the advance whatever the product has
            values = self.account, self.taxes, self.unit
            super().on_change_product()
            self.account, self.taxes, self.unit = values
        else:
            super().on_change_product()

    @property
    @fields.depends(
        'quantity', 'unit_price',
        methods=['is_project_billing', 'on_change_with_amount'])
    def taxable_lines(self):
        lines = super().taxable_lines
        if not self.is_project_billing or not self.quantity:
            return lines
        amount = self.on_change_with_amount()
        price = self.unit_price or Decimal(0)
        if to_quantity(self.quantity) * price == amount:
            return lines
        # What is cancelled has the taxes of the lines that it covers
        return set_base(lines, amount, self.quantity)

    def get_move_lines(self):
        if self.advance_invoice and not self.amount:
            return []
        # The advance may be billed since it was typed
        self.check_deposit_account([self])
        return super().get_move_lines()

    def _credit(self):
        line = super()._credit()
        line.advance_invoice = self.advance_invoice
        line.advance_cancellation = self.advance_cancellation
        line.covered_by_advance = self.covered_by_advance
        return line

    @classmethod
    def copy(cls, lines, default=None):
        default = default.copy() if default is not None else {}
        for name in ['advance_cancellation', 'cancellation_typed']:
            default.setdefault(name, False)
        for name in cls._advance_fields | cls._derived_fields:
            default.setdefault(name)
        return super().copy(lines, default=default)

    @classmethod
    def preprocess_values(cls, mode, values):
        values = super().preprocess_values(mode, values)
        if mode == 'create':
            cls()._set_advance_amount(values)
        return values

    @classmethod
    def create(cls, vlist):
        if Transaction().check_access:
            for values in vlist:
                check_readonly(cls, cls._derived_fields, values)
        return super().create(vlist)

    @classmethod
    def write(cls, *args):
        actions = []
        for lines, values in zip(args[::2], args[1::2]):
            if Transaction().check_access:
                check_readonly(cls, cls._derived_fields, values, lines)
            if not values.keys() & {'quantity', 'unit_price'}:
                actions.extend((lines, values))
                continue
            others = []
            for line in cls.browse(lines):
                if not line.advance_invoice:
                    others.append(line)
                    continue
                l_values = values.copy()
                if 'quantity' in values and line.advance_cancellation:
                    l_values.setdefault('cancellation_typed', True)
                line._set_advance_amount(l_values)
                actions.extend(([line], l_values))
            if others or not lines:
                actions.extend((others, values))
        super().write(*actions)

    def _set_advance_amount(self, values):
        "Set on the values to save what they bill or cancel of the advance"
        pool = Pool()
        Advance = pool.get('project.advance_invoice')

        def get(name):
            return values.get(name, getattr(self, name, None))

        if advance := get('advance_invoice'):
            # To not compute it with another statement
            line = self.__class__(
                type='line', invoice=None,
                currency=Advance(int(advance)).currency,
                quantity=get('quantity'), unit_price=get('unit_price'))
            values['advance_amount'] = line.on_change_with_amount()

    @classmethod
    def get_credits(cls, lines, states, cancellation=False):
        """
        Return for each line those that credit it on invoices in the states

        The lines are all cancellations of advances or none is.
        """
        credits = {l: [] for l in lines}
        for line, root in cls.search_credits(lines, [
                    ('advance_cancellation', '=' if cancellation else '!=',
                        True),
                    ('invoice.state', 'in', states),
                    ]).items():
            # A line typed by hand is no credit whatever its origin
            if line._billing_key == root._billing_key:
                credits[root].append(line)
        return credits

    @classmethod
    def get_uncredited(cls, lines):
        "Return the lines which live credit notes do not credit in full"
        def is_left(line, credits):
            if not credits:
                return bool(line.quantity)
            quantity, amount = line._get_left(credits)
            # The value rules
            return (
                quantity * to_quantity(line.quantity) > 0
                and (amount * line.amount > 0 or not line.amount))

        return [
            line for line, credits in cls.get_credits(
                lines, ['posted', 'paid']).items()
            if line.invoice.state in OPEN or is_left(line, credits)]

    def _get_left(self, credits):
        "Return the quantity and the amount that the credits leave"
        lines = [self, *credits]
        return (
            sum(to_quantity(l.quantity) for l in lines),
            sum(l.amount for l in lines))

    @classmethod
    def get_credit_rest(cls, lines):
        """
        Return the new credit lines of what other credit notes leave, and
        what was cancelled of the advances that they bill

        They are all the lines when nothing is credited or nothing is left.
        """
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        origins = [l.origin for l in lines if l.type == 'line']
        credits = {}
        for cancellation in [False, True]:
            credits.update(cls.get_credits(
                    [l for l in origins
                        if bool(l.advance_cancellation) == cancellation],
                    OPEN + ['posted', 'paid'], cancellation=cancellation))
        # What was used of an advance is not credited
        billing = [
            l for l in origins
            if l.advance_invoice and not l.advance_cancellation
            and l.amount > 0]
        figures = Advance.get_figures({l.advance_invoice for l in billing})
        available = {
            l: figures[l.advance_invoice].available_amount for l in billing}
        if not any(credits.values()) and all(
                available[l] >= l.amount for l in billing):
            return lines
        rest = []
        for line in lines:
            if line.type == 'line':
                origin = line.origin
                quantity, amount = origin._get_left(credits[origin])
                if origin in available:
                    amount = min(amount, available[origin])
                if (quantity * to_quantity(origin.quantity) <= 0
                        and amount * origin.amount <= 0
                        or origin in available and amount <= 0):
                    continue
                if (line.currency.round(quantity * line.unit_price) == amount
                        # The quantity of others has the digits of its unit
                        or not origin.is_project_billing):
                    line.quantity = -float(quantity)
                else:
                    line.quantity = Advance.compute_quantity(
                        -amount, line.unit_price, line.currency)
            rest.append(line)
        return rest if any(l.type == 'line' for l in rest) else lines

    @property
    def _billing_key(self):
        "What a line and its credit share"
        return (
            self.advance_invoice, self.advance_cancellation or False,
            self.covered_by_advance)

    @classmethod
    def check_given_back(cls, lines):
        "Check the credit lines give back no more than what was cancelled"
        origins = {
            l.origin for l in lines
            if l.advance_cancellation and l.is_given_back}
        for origin, credits in cls.get_credits(
                origins, OPEN + ['posted', 'paid'],
                cancellation=True).items():
            amount = sum(l.advance_amount for l in credits)
            if abs(amount) > abs(origin.advance_amount):
                raise AdvanceResidualError(gettext(
                        'project_progress_invoice.msg_advance_given_back',
                        advance=origin.advance_invoice.rec_name,
                        amount=abs(amount) - abs(origin.advance_amount)))

    @classmethod
    def check_deposit_account(cls, lines):
        """
        Check the lines leave the account of the advances of their party to
        the advances
        """
        pool = Pool()
        TypeAccount = pool.get('project.type.account')
        accounts = TypeAccount.get_advance_accounts()
        for line in lines:
            if (line.type == 'line'
                    and line.invoice
                    and not line.advance_invoice
                    and line.account.id in accounts
                    # What it credits was not of the advances either
                    and not (isinstance(line.origin, cls)
                        and line.origin.account == line.account
                        and not line.origin.advance_invoice)):
                cls.refuse_deposit_account(line.invoice, line.account)

    @classmethod
    def refuse_deposit_account(cls, invoice, account):
        "Refuse the account if it holds an advance of the party"
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        with without_check_access():
            for advance in Advance.search([
                        ('company', '=', invoice.company.id),
                        ('type', '=', 'on_account'),
                        ['OR',
                            ('residual_amount', '>', 0),
                            # What an open invoice is about to cancel or bill
                            ('cancellation_lines.invoice.state', 'in', OPEN),
                            ('id', 'in', [a.id for a in invoice.advances]),
                            ],
                        ]):
                if (advance.party == invoice.party
                        and account in advance.deposit_accounts):
                    raise AdvanceDepositError(gettext(
                            'project_progress_invoice.msg_advance_deposit',
                            account=account.rec_name,
                            invoice=invoice.rec_name,
                            advance=advance.rec_name,
                            party=invoice.party.rec_name))

    @classmethod
    def check_modification(cls, mode, lines, values=None, external=False):
        super().check_modification(
            mode, lines, values=values, external=external)
        if mode != 'write':
            return
        billing = values.keys() & cls._billing_fields
        readonly = values.keys() & cls._advance_readonly_fields
        if not billing and not readonly and 'quantity' not in values:
            return
        for line in lines:
            advance = line.advance_invoice
            if (billing and line.is_project_billing
                    or readonly and advance
                    or ('quantity' in values and advance
                        and line.origin == advance
                        and not line.advance_cancellation)):
                if external:
                    check_readable(cls, lines)
                raise AdvanceAccessError(gettext(
                        'project_progress_invoice.msg_advance_line',
                        line=line.rec_name,
                        invoice=line.invoice.rec_name))

    @property
    @fields.depends('advance_invoice', 'covered_by_advance')
    def is_project_billing(self):
        return bool(self.advance_invoice or self.covered_by_advance)

    @classmethod
    def on_modification(cls, mode, lines, field_names=None):
        super().on_modification(mode, lines, field_names=field_names)
        if mode == 'delete':
            return
        if field_names is None or field_names & {'account', 'invoice'}:
            cls.check_deposit_account(lines)
        if (not Transaction().context.get('_advance_proposals')
                and (field_names is None or field_names & {
                        'quantity', 'unit_price', 'invoice'})):
            # Else they are cancelled once all the lines are saved
            cls.update_cancellations(
                {l.invoice for l in lines
                    if l.invoice
                    and (l.advance_invoice or l.covered_by_advance)},
                lines)

    @classmethod
    def on_delete(cls, lines):
        pool = Pool()
        Invoice = pool.get('account.invoice')
        callbacks = super().on_delete(lines)
        invoices = [
            l.invoice.id for l in lines
            if l.invoice and (l.advance_invoice or l.covered_by_advance)]
        if invoices:
            callbacks.append(lambda: cls.update_cancellations(
                    set(Invoice.search([('id', 'in', invoices)]))))
        return callbacks

    @property
    def _cover_key(self):
        "What covered lines and the lines that cancel for them share"

    @property
    def goes_on(self):
        """
        If what its advance does not cover of the line goes on to the next one
        """
        return True

    @property
    def is_given_back(self):
        "If it gives back what a line that it credits cancelled"
        return (
            isinstance(self.origin, self.__class__)
            and bool(self.origin.advance_cancellation))

    @property
    def root_origin(self):
        "The origin of the line that it credits, if it credits one"
        origin = self.origin
        while isinstance(origin, self.__class__):
            origin = origin.origin
        return origin

    @classmethod
    def get_covers(cls, lines):
        """
        Return for each covered line the advances that cover it, in the order
        in which they are used
        """
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        keys = {l: l.covered_by_advance.invoicing_key for l in lines}
        ranked = Advance.get_ranked(keys.values())
        return {
            l: tuple(dict.fromkeys([l.covered_by_advance, *ranked[key]]))
            for l, key in keys.items()}

    @staticmethod
    def get_advances(lines):
        "Return the advances that the lines bill or cancel or that cover them"
        return {
            a for l in lines
            for a in [l.advance_invoice, l.covered_by_advance] if a}

    @classmethod
    def get_cover_groups(cls, lines):
        """
        Return the tuples of the lines of an invoice covered together and
        those that cancel advances for them
        """
        groups = defaultdict(lambda: ([], []))
        for line in lines:
            if line.type != 'line':
                continue
            # What the client sends may be but a part of the line
            if getattr(line, 'advance_cancellation', False):
                groups[line._cover_key][1].append(line)
            elif getattr(line, 'covered_by_advance', None):
                groups[line._cover_key][0].append(line)
        return list(groups.values())

    @classmethod
    def _get_covered_values(cls, covered, cancellations, sign):
        """
        Return the values of the covered lines and the advances of the
        cancellations that may cover them
        """
        values = defaultdict(Decimal)
        cancelled = [l.advance_invoice for l in cancellations]
        for line in covered:
            advances = [line.covered_by_advance]
            if line.goes_on:
                advances += cancelled
            values[tuple(dict.fromkeys(advances))] += sign * line.amount
        return [(value, advances) for advances, value in values.items()]

    @staticmethod
    def get_billed(lines):
        "Return the lines that bill among those of an invoice"
        return [
            l for l in lines
            if l.type == 'line' and not l.advance_cancellation]

    @classmethod
    def get_sign(cls, lines):
        "Return -1 for what credits an invoice, else 1"
        return -1 if sum(l.amount for l in cls.get_billed(lines)) < 0 else 1

    @classmethod
    def get_cancelled_amounts(cls, lines, caps=None):
        """
        Return by line what the cancellations among the lines of an invoice
        may cancel, positive also on a credit note

        It is no more than the value of what they cover and of the invoice,
        for the other lines may have a discount, and no more than the amount
        of caps, by line, or what they cancel now.
        """
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        caps = caps or {}
        sign = cls.get_sign(lines)
        left = sum(sign * l.amount for l in cls.get_billed(lines))
        amounts = {}
        for covered, cancellations in cls.get_cover_groups(lines):
            available = {
                l.covered_by_advance: Available(
                    l.covered_by_advance, Decimal(0)) for l in covered}
            for line in cancellations:
                available[line.advance_invoice] = Available(
                    line.advance_invoice,
                    max(caps.get(line, -sign * line.amount), Decimal(0)))
            cancelled = Advance.allocate(
                cls._get_covered_values(covered, cancellations, sign),
                available, limit=left)
            left -= sum(cancelled.values())
            for line in cancellations:
                amounts[line] = cancelled.pop(line.advance_invoice, Decimal(0))
        return amounts

    @classmethod
    def check_cancelled_value(cls, lines, checked=None):
        """
        Check the cancellations among the lines of an invoice, or those to be
        checked of them, cancel no more than what they cover
        """
        sign = cls.get_sign(lines)
        for line, amount in cls.get_cancelled_amounts(lines).items():
            if ((checked is None or line in checked)
                    and -sign * line.amount != amount):
                line.refuse_cancellation(lines)

    @classmethod
    def update_cancellations(cls, invoices, saved=()):
        """
        Keep what the open invoices cancel in step with the lines that it
        covers and what is cancelled of the advances within what was billed

        The saved lines are those that were just saved: what cancels for the
        covered ones among them goes up to what is left of the advances, and
        what cancels too much is refused, if it is among them, or else goes
        down.
        """
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        Invoice = pool.get('account.invoice')
        advances = set()
        opened = []
        # They are read already
        saved = {l.id: l for l in saved}
        for invoice in Invoice.browse(invoices):
            lines = [saved.get(l.id, l) for l in invoice.lines]
            advances |= cls.get_advances(lines)
            if invoice.state in OPEN:
                opened.append(invoice)
                cls._update_cancellations(lines, saved.values())
        if opened and not Transaction().context.get('_progress_invoice'):
            # The taxes do not follow the lines that are saved on their own,
            # else the invoice updates them itself once all is saved
            Invoice.update_taxes(Invoice.browse(opened))
        if advances:
            Advance.check_residual(Advance.browse(advances))
            cls.check_given_back(saved.values())

    @classmethod
    def _update_cancellations(cls, lines, saved):
        "Write or delete the cancellations among the lines of an open invoice"
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        cls.check_cancelled_value(
            lines, checked=[l for l in saved if l.advance_cancellation])
        to_delete = [
            l for covered, cancellations in cls.get_cover_groups(lines)
            # They cancel for nothing
            for l in cancellations if not covered]
        sign = cls.get_sign(lines)
        to_write = []
        for line, amount in cls.get_cancelled_amounts(
                lines, cls._get_caps(lines, saved)).items():
            if line not in to_delete and -sign * line.amount != amount:
                to_write.extend(([line], {
                            'quantity': Advance.compute_quantity(
                                -sign * amount, line.unit_price,
                                line.currency),
                            'cancellation_typed': line.cancellation_typed,
                            }))
        if to_write:
            cls.write(*to_write)
        if to_delete:
            cls.delete(to_delete)

    @classmethod
    def _get_caps(cls, lines, saved):
        """
        Return by cancellation among the lines of an open invoice the amount
        up to which it may go for the covered lines that were saved
        """
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        keys = {
            l._cover_key for l in saved
            if l.covered_by_advance and not l.advance_cancellation}
        to_raise = [
            l for l in lines
            if l.advance_cancellation and not l.cancellation_typed
            and l not in saved and l._cover_key in keys]
        if not to_raise:
            return {}
        sign = cls.get_sign(lines)
        advances = list({l.advance_invoice for l in to_raise})
        lock_together(advances)
        available = Advance.get_available(advances)
        credits = cls.get_credits(
            [l.origin for l in to_raise if l.is_given_back],
            OPEN + ['posted', 'paid'], cancellation=True)
        caps = {}
        for line in to_raise:
            left = Decimal(0)
            if line.is_given_back:
                # No more than what is not yet given back, the other way round
                origin = line.origin
                if sign * origin.amount > 0:
                    left = abs(origin.amount) - sum(
                        abs(c.amount) for c in credits[origin])
            elif sign > 0:
                left = available[line.advance_invoice].amount
            caps[line] = -sign * line.amount + max(left, Decimal(0))
        return caps

    @classmethod
    def get_taxable_by_line(cls, lines):
        """
        Return the taxable lines of those of an invoice whose taxes are
        rounded by line

        What is cancelled is taxed line by line like what it covers, for the
        tax of a sum is not the sum of the taxes.
        """
        taxable_lines = []
        for line in lines:
            if not getattr(line, 'advance_cancellation', False):
                taxable_lines.extend(line.taxable_lines)
        sign = -1 if sum(
            l.on_change_with_amount() for l in lines
            if getattr(l, 'covered_by_advance', None)) < 0 else 1
        for covered, cancellations in cls.get_cover_groups(lines):
            # A discount first, for it lets more be cancelled of the others
            left = sorted(sign * l.on_change_with_amount() for l in covered)
            parts = defaultdict(Decimal)
            for line in cancellations:
                amount = line.on_change_with_amount()
                for taxes, _, quantity, date in line.taxable_lines:
                    if has_fixed_tax(taxes):
                        taxable_lines.append(
                            (taxes, amount / to_quantity(quantity), quantity,
                                date))
                        continue
                    rest = -sign * amount
                    for i, value in enumerate(left):
                        part = min(rest, value)
                        left[i] -= part
                        rest -= part
                        parts[i, tuple(taxes), date] -= sign * part
                    parts[None, tuple(taxes), date] -= sign * rest
            taxable_lines.extend(
                (taxes, part, 1, date)
                for (_, taxes, date), part in parts.items() if part)
        return taxable_lines

    def refuse_cancellation(self, lines):
        billed = self.get_billed(lines)
        covered = [
            l for l in billed
            if l.covered_by_advance and l._cover_key == self._cover_key]
        raise AdvanceResidualError(gettext(
                'project_progress_invoice.msg_cancellation_beyond',
                line=self.rec_name,
                invoice=self.invoice.rec_name,
                value=min(
                    abs(sum(l.amount for l in lines))
                    for lines in [billed, covered])))
