# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
from collections import defaultdict
from decimal import Decimal
from itertools import chain

from sql import Null
from sql.conditionals import Case

from trytond.i18n import gettext
from trytond.model import Index, fields
from trytond.modules.currency.fields import Monetary
from trytond.pool import Pool, PoolMeta
from trytond.pyson import Bool, Eval
from trytond.transaction import Transaction, without_check_access

from .common import OPEN, let_readonly, set_base, to_quantity
from .exceptions import (
    AdvanceAccessError, AdvanceAssociationError, AdvanceDepositError,
    AdvanceResidualError, ProgressContractError)


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
            for covered, cancellations in Line.get_covered_lines(
                    invoice.lines):
                excess = Line.get_cancellation_excess(covered, cancellations)
                if excess:
                    cancellations[0].refuse_cancellation(covered)
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
        covered = {}
        for invoice in invoices:
            amounts = defaultdict(Decimal)
            for line in invoice.lines:
                if line.covered_by_advance:
                    amounts[line.covered_by_advance] += line.amount
            if amounts:
                covered[invoice] = amounts
        if not covered:
            return
        available = Advance.get_available(
            list({a for amounts in covered.values() for a in amounts}))
        for invoice, amounts in covered.items():
            lines, _ = Advance.cancel(
                amounts, available, sum(l.amount for l in invoice.lines))
            invoice.lines = [*invoice.lines, *lines]
            invoice.project_billing = True
        # The taxes are updated as the invoices are modified
        cls.save(list(covered))

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
    advance_amount = Monetary(
        "Advance Amount", currency='currency', digits='currency',
        readonly=True)
    covered_by_advance = fields.Many2One(
        'project.advance_invoice', "Covered by Advance",
        ondelete='RESTRICT', readonly=True,
        states={
            'invisible': ~Eval('covered_by_advance'),
            },
        help="The advance that is cancelled for the line.")

    _advance_fields = {
        'advance_invoice', 'advance_cancellation', 'advance_amount',
        'covered_by_advance'}

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
        default.setdefault('advance_cancellation', False)
        for name in cls._advance_fields:
            default.setdefault(name)
        return super().copy(lines, default=default)

    @classmethod
    def preprocess_values(cls, mode, values):
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        values = super().preprocess_values(mode, values)
        if mode == 'create' and values.get('advance_invoice'):
            # To not compute it with another statement
            line = cls(
                type='line', invoice=None,
                currency=Advance(values['advance_invoice']).currency,
                quantity=values.get('quantity'),
                unit_price=values.get('unit_price'))
            values['advance_amount'] = line.on_change_with_amount()
        return values

    def compute_fields(self, field_names=None):
        values = super().compute_fields(field_names=field_names)
        if (self.advance_invoice
                and (field_names is None
                    or field_names & {'quantity', 'unit_price'})):
            amount = self.on_change_with_amount()
            if self.advance_amount != amount:
                values['advance_amount'] = amount
        return values

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
        Return the new credit lines of what other credit notes leave

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
        if not any(credits.values()):
            return lines
        rest = []
        for line in lines:
            if line.type == 'line':
                origin = line.origin
                quantity, amount = origin._get_left(credits[origin])
                if (quantity * to_quantity(origin.quantity) <= 0
                        and amount * origin.amount <= 0):
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
            if l.advance_cancellation
            and isinstance(l.origin, cls) and l.origin.advance_cancellation}
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
        "What a covered line and the lines that cancel for it share"
        if self.advance_cancellation:
            return (self.advance_invoice,)
        elif self.covered_by_advance:
            return (self.covered_by_advance,)

    @staticmethod
    def get_advances(lines):
        "Return the advances that the lines bill or cancel or that cover them"
        return {
            a for l in lines
            for a in [l.advance_invoice, l.covered_by_advance] if a}

    @staticmethod
    def get_covered_lines(lines):
        """
        Return the tuples of lines of an invoice covered together and the lines
        that cancel advances for them

        The last are all the lines, for the others may have a discount.
        """
        groups = defaultdict(lambda: ([], []))
        billed, cancelled = [], []
        for line in lines:
            if line.type != 'line':
                continue
            if line.advance_cancellation:
                cancelled.append(line)
            else:
                billed.append(line)
            if key := line._cover_key:
                covered, cancellations = groups[key]
                if line.advance_cancellation:
                    cancellations.append(line)
                else:
                    covered.append(line)
        groups = list(groups.values())
        if any(
                l.covered_by_advance.type == 'to_balance'
                for covered, _ in groups for l in covered):
            # What balances cancels any advance
            groups = [tuple(
                    list(chain.from_iterable(lines))
                    for lines in zip(*groups))]
        if cancelled:
            groups.append((billed, cancelled))
        return groups

    @staticmethod
    def get_cancellation_excess(covered, cancellations, cuts=None):
        """
        Return what the cancellations cancel more than the value of the lines
        that they cover

        It has the sign of the cancellations, which are positive on a credit
        note.  cuts is by line what is already cut of the cancellations.
        """
        cuts = cuts or {}
        value = -sum((l.amount for l in covered), Decimal(0))
        amount = sum(
            (l.amount - cuts.get(l, 0) for l in cancellations), Decimal(0))
        return amount - min(max(amount, min(value, 0)), max(value, 0))

    @classmethod
    def update_cancellations(cls, invoices, saved=()):
        """
        Keep what the open invoices cancel within the value of the lines that
        it covers and what is cancelled of the advances within what was billed

        The lines that cancel too much are cut, but refused if they are among
        those that were just saved.
        """
        pool = Pool()
        Advance = pool.get('project.advance_invoice')
        Invoice = pool.get('account.invoice')
        cuts, to_delete, advances, opened = {}, set(), set(), set()
        # They are read already
        saved = {l.id: l for l in saved}
        for invoice in Invoice.browse(invoices):
            lines = [saved.get(l.id, l) for l in invoice.lines]
            advances |= cls.get_advances(lines)
            if invoice.state not in OPEN:
                continue
            opened.add(invoice)
            for covered, cancellations in cls.get_covered_lines(lines):
                excess = cls.get_cancellation_excess(
                    covered, cancellations, cuts)
                if excess and any(l.id in saved for l in cancellations):
                    cancellations[0].refuse_cancellation(covered)
                if not covered:
                    # They cancel for nothing
                    to_delete.update(cancellations)
                for line in reversed(cancellations):
                    if not excess:
                        break
                    amount = line.amount - cuts.get(line, 0)
                    cut = min(abs(excess), abs(amount)).copy_sign(excess)
                    excess -= cut
                    cuts[line] = cuts.get(line, 0) + cut
        to_write = []
        for line, cut in cuts.items():
            if line not in to_delete:
                to_write.extend(([line], {
                            'quantity': Advance.compute_quantity(
                                line.amount - cut, line.unit_price,
                                line.currency),
                            }))
        if to_write:
            cls.write(*to_write)
        if to_delete:
            cls.delete(list(to_delete))
        if opened and not Transaction().context.get('_progress_invoice'):
            # The taxes do not follow the lines that are saved on their own,
            # else the invoice updates them itself once all is saved
            Invoice.update_taxes(Invoice.browse(opened))
        if advances:
            Advance.check_residual(Advance.browse(advances))
            cls.check_given_back(saved.values())

    def refuse_cancellation(self, covered):
        raise AdvanceResidualError(gettext(
                'project_progress_invoice.msg_cancellation_beyond',
                line=self.rec_name,
                invoice=self.invoice.rec_name,
                value=abs(sum(l.amount for l in covered))))
