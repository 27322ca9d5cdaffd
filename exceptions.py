# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
from trytond.exceptions import UserError
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


class ProgressAccessError(AccessError):
    "The record is needed by the progress invoices"
