# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
from trytond.i18n import gettext
from trytond.modules.party.exceptions import EraseError
from trytond.pool import Pool, PoolMeta


class PartyReplace(metaclass=PoolMeta):
    __name__ = 'party.replace'

    @classmethod
    def fields_to_replace(cls):
        return super().fields_to_replace() + [
            ('account.progress_contract', 'party'),
            ('project.intervention', 'party'),
            ('project.intervention.request', 'party'),
            ]


class PartyErase(metaclass=PoolMeta):
    __name__ = 'party.erase'

    def check_erase_company(self, party, company):
        pool = Pool()
        super().check_erase_company(party, company)
        records = []
        for name, domain in [
                ('project.intervention',
                    ('state', 'in', ['planned', 'done'])),
                ('project.intervention.request',
                    ('state', 'in', ['open', 'planned'])),
                # The check of account_deposit hides the one of the invoices
                # and knows only the company of the user
                ('account.invoice', [
                        ['OR',
                            ('progress', '=', True),
                            ('project_billing', '=', True),
                            ],
                        ('state', 'not in', ['paid', 'cancelled']),
                        ]),
                ]:
            records.extend(pool.get(name).search([
                        ('party', '=', party.id),
                        ('company', '=', company.id),
                        domain,
                        ], limit=1))
        records.extend(
            a for a in pool.get('project.advance_invoice').search([
                    ('company', '=', company.id),
                    ('residual_amount', '>', 0),
                    ])
            if a.party == party)
        for record in records:
            raise EraseError(gettext(
                    'project_progress_invoice.msg_erase_party',
                    party=party.rec_name,
                    company=company.rec_name,
                    record=record.rec_name))
