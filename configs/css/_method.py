# The method with the reference code's settings, and what it is judged by.
model = dict(type='CSS', branches=3, temperature=3.0, detach=False, fix_branch3_mask=False)

evaluator = [
    dict(type='Accuracy', topk=(1, 5)),
    dict(type='EnsembleAccuracy', topk=(1, 5)),
    dict(type='Diversity'),
]
