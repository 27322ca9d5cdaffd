# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
from trytond.exceptions import UserError, UserWarning
from trytond.model.exceptions import AccessError, ValidationError


class ProgressContractError(UserError):
    "The document does not fit in the chain of its contract"


class ProgressLineError(ValidationError):
    "The progress typed on a line is not possible"


class ProgressCompletedError(ProgressLineError):
    "A completed line is moved"


class ProgressChangedError(ValidationError):
    "Another document changed what was billed before"


class ProgressCreditError(ValidationError):
    "More would be credited than was billed"


class ProgressImportError(UserError):
    "The sale can not be billed by this invoice"


class PriceError(ValidationError):
    "The price is no number"


class RevenueAccountError(UserError):
    "There is no account to bill what is sold"


class ProgressAccessError(AccessError):
    "The record is needed by the progress invoices"


class AdvanceSetupError(UserError):
    "The set-up of the project does not allow to bill an advance"


class AdvanceInvoiceError(ValidationError):
    "The advance itself is not possible"


class AdvanceAssociationError(ValidationError):
    "The advance can not cover the intervention"


class AdvanceResidualError(ValidationError):
    "More would be cancelled than what is left or covered"


class AdvanceDepositError(ValidationError):
    "The deposit account would no more agree with the advances"


class AdvanceAccessError(AccessError):
    "The record is needed by the advances"


class OpenAdvanceWarning(UserWarning):
    "An advance could still pay what is billed"


class DepositAccountWarning(UserWarning):
    "The deposit account is not part of the balance sheet"


class InterventionError(UserError):
    "The intervention can not be valued"


class InterventionValidationError(ValidationError):
    "The intervention is not possible"


class InterventionAccessError(AccessError):
    "The record is needed by the interventions"
