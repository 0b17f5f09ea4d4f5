"""What the texts of packed files have in common: the deflate dictionary of version 2.

Part of the format: a byte changed here makes every entropy-coded file unreadable. What is likely
to come last in a text, or most often, is at the end, where a reference to it is shortest.
"""

from __future__ import annotations

_NAMES = (
    '"features.0.weight","features.3.weight","features.6.weight","features.8.weight",'
    '"classifier.0.weight","classifier.1.weight","classifier.3.weight","classifier.6.weight",'
    '"layer1.0.conv1.weight","layer1.0.conv2.weight","layer2.0.downsample.0.weight",'
    '"layer3.0.bn1.weight","layer4.0.shortcut.0.weight","stem.weight","head.weight",'
    '"0.weight","2.weight","4.weight","6.weight","fc.weight","fc.bias","conv3.weight","conv3.bias",'
    '"fc3.weight","fc3.bias","fc1.weight","fc1.bias","fc2.weight","fc2.bias",'
    '"conv1.weight","conv2.weight","fc1.weight","fc2.weight"],'
    '"conv1.bias","conv2.bias","fc1.bias","fc2.bias"],'
    ".running_mean.running_var.num_batches_tracked.in_proj_weight.out_proj.weight"
)
_SCHEMES = (
    '"weighting":"fisher"},"weighting":"activations"},"weighting":"covariance"},'
    '{"scheme":"rank-selection","alpha":1e-05,"cost":"storage","conv":"channel","least":0},'
    '{"scheme":"global-rank","budget":0.5,"cost":"parameters","energy":"absolute","cost":"flops",'
    '{"scheme":"low-rank","rank":8,"conv":"spatial","rank_fraction":0.25,"energy":,"parameters":'
    '{"scheme":"structure-prune","density":0.5,"groups":"inputs","norm":"l1","scope":"layer",'
    '"groups":"outputs","norm":"l2","scope":"joint","align":1,"biases":true},'
    '{"scheme":"block-prune","density":0.25,"linear":[4,4],"conv":[4,1],"norm":"l2","scope":"joint"'
    '{"scheme":"n-m","n":2,"m":4,"axis":"input"},{"scheme":"n-m","n":4,"m":8,"axis":"output"},'
    '{"scheme":"l1-ball","radius":{"scheme":"l0-penalty","alpha":{"scheme":"l1-penalty","alpha":'
    '{"scheme":"binary"},{"scheme":"binary-scale"},{"scheme":"ternary"},{"scheme":"ternary-scale"},'
    '{"scheme":"powers-of-two","exponents":{"scheme":"codebook","k":4,"zero":true,"group":'
    '{"scheme":"uniform","bits":8,"symmetric":false,"per":"channel","scale":"minmax","percentile":'
    '{"scheme":"uniform","bits":4,"symmetric":true,"per":"group","group_size":64,"scale":"mse"},'
    '{"scheme":"uniform","bits":4,"symmetric":true,"per":"tensor","scale":"entropy"},'
    '{"scheme":"additive","of":[{"scheme":"dense"}],"tolerance":0.001,"max_sweeps":30}'
    '{"scheme":"cast","dtype":"bfloat16"},{"scheme":"cast","dtype":"float8_e4m3"}'
)
_CODES = (
    '{"kind":"structure","meta":{"shapes":[[,"groups":"outputs"},"tensors":{"kept":["U8",'
    '{"kind":"block","meta":{"shapes":[[,"linear":[4,4],"conv":[4,1]},"tensors":{"kept":["U8",'
    '{"kind":"n-m","meta":{"shapes":[[,"axis":1,"n":2,"m":4},"children":{"inner":'
    '{"kind":"uniform","meta":{"shapes":[[,"width":4,"symmetric":true,"per":"tensor",'
    '"group_size":null},"children":{"inner":{"kind":"levels","meta":{"shapes":[['
    '{"kind":"codebook-groups","meta":{"shapes":[[,"sizes":[4,'
    '{"kind":"lowrank","meta":{"shapes":[[,"conv":"channel"},"children":{"inner":'
    '{"kind":"additive","children":{"0":{"kind":,"1":{"kind":'
    '"tensors":{"flat":["BF16",}}],"rest":{".bias":["F32",[".weight":["F32",[["I64",[]],'
    '{"kind":"dense","meta":{"shapes":[[1024]],"dtype":"float32"},"tensors":{"flat":["F16",16]}}'
)
_INFO = (
    '},"info":{"recipe":{"method":"direct"},"status":"stopped","step":0}}'
    '},"info":{"recipe":{"amp":true,"batch_size":256,"epochs_per_step":1,"first_step_epochs":2,'
    '"lr_decay":0.98,"method":"lc","mu":{"cap":10000.0,"factor":1.1,"scale":1.0,"start":9e-05,'
    '"steps":20},"optimizer":{"betas":[0.9,0.999],"lr":0.001,"name":"adam","weight_decay":0.0},'
    '"penalty":"quadratic","tolerance":0.0},"status":"converged","step":20}}'
)
_LIKELY = (
    '{"plan":{"tasks":[{"name":"weights","params":["conv1.weight","conv2.weight","fc1.weight",'
    '"fc2.weight"],"compression":{"scheme":"compose","of":[{"scheme":"prune","density":0.01},'
    '{"scheme":"codebook","k":16,"zero":false},{"scheme":"cast","dtype":"float16"}]}},'
    '{"name":"biases","params":["conv1.bias","conv2.bias","fc1.bias","fc2.bias"],'
    '"compression":{"scheme":"codebook","k":16,"zero":false}}]},"codes":['
    '{"kind":"sparse","meta":{"shapes":[[20,1,5,5],[50,20,5,5],[500,800],[10,500]],'
    '"count":4000,"rice":5},"children":{"inner":{"kind":"codebook","meta":{"shapes":[[4000]],'
    '"size":16},"children":{"inner":{"kind":"dense","meta":{"shapes":[[16]],"dtype":"float32"},'
    '"tensors":{"flat":["F32",16]}}}}}},'
    '{"kind":"codebook","meta":{"shapes":[[20],[50],[500],[10]],"size":16},"children":{"inner":'
    '{"kind":"dense","meta":{"shapes":[[16]],"dtype":"float32"},"tensors":{"flat":["F32",16]}}}}],'
    '"rest":{},"info":{"recipe":{"amp":false,"batch_size":128,"epochs_per_step":"auto",'
    '"first_step_epochs":null,"lr_decay":0.98,"method":"lc","mu":{"cap":10000.0,"factor":"auto",'
    '"scale":1.0,"start":"auto","steps":20},"optimizer":{"lr":0.05,"momentum":0.9,"name":"sgd",'
    '"nesterov":true,"weight_decay":0.0},"penalty":"augmented-lagrangian","tolerance":0.0001},'
    '"status":"finished","step":20}}'
)
WORDS = "".join((_NAMES, _SCHEMES, _CODES, _INFO, _LIKELY)).encode()
