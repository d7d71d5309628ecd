# DML: two networks teach each other; the first is handed on.
_base_ = 'css.py'

model = dict(type='DML')
