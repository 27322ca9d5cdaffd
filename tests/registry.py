# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""What the module adds, read from the pool that a new model extends"""
from proteus import Model
from proteus.config import get_config
from trytond.model import ModelStorage, ModelView, fields
from trytond.pool import Pool
from trytond.pyson import PYSONDecoder

__all__ = [
    'call', 'get_pool', 'get_models', 'get_added', 'get_buttons',
    'get_fields', 'is_of_module', 'get_related']

MODULE = 'trytond.modules.project_progress_invoice'


def call(model, method, *args, type='model', **context):
    "Call the method through RPC like a client"
    config = get_config()
    return getattr(config.get_proxy(model, type=type), method)(
        *args, {**config.context, **context})


def get_pool():
    return Pool(get_config().database_name)


def is_of_module(class_):
    return class_.__module__.startswith(MODULE)


def get_definers(Model, name):
    return [c for c in Model.__mro__ if name in c.__dict__]


def get_models():
    "Return by name the stored models that the module adds or extends"
    return {
        name: Model for name, Model in get_pool().iterobject()
        if issubclass(Model, ModelStorage)
        and any(map(is_of_module, Model.__mro__))}


def get_added(type='model'):
    "Return by name what the module adds of the type"
    return {
        name: cls for name, cls in get_pool().iterobject(type=type)
        if is_of_module([
                c for c in cls.__mro__
                if getattr(c, '__name__', None) == name][-1])}


def get_buttons(Model):
    "Return the names of the buttons that the module adds to the model"
    if not issubclass(Model, ModelView):
        return []
    return sorted(
        n for n in Model._buttons
        if is_of_module(get_definers(Model, n)[-1]))


def get_fields(Model):
    "Return by name the stored fields that the module adds to the model"
    added = Model.__name__ in get_added()
    return {
        n: f for n, f in Model._fields.items()
        if n not in {
            'id', 'create_uid', 'create_date', 'write_uid', 'write_date'}
        and not isinstance(f, fields.Function)
        and (added or is_of_module([
                    c for c in Model.__mro__
                    if isinstance(c.__dict__.get(n), fields.Field)][-1]))}


def get_related(record, name):
    "Return the records that the relate of the record opens"
    model = record.__class__.__name__
    action, = [
        a for a in call(
            'ir.action.keyword', 'get_keyword', 'form_relate',
            (model, record.id))
        if a['name'] == name]
    domain = PYSONDecoder({
            'active_model': model,
            'active_id': record.id,
            'active_ids': [record.id],
            }).decode(action['pyson_domain'])
    return Model.get(action['res_model']).find(domain)
