"""The publications that the schemes come from."""

from __future__ import annotations

from initlab._scheme import Source

RUMELHART = Source(
    "Learning internal representations by error propagation",
    "D. E. Rumelhart, G. E. Hinton, R. J. Williams",
    1986,
    "https://doi.org/10.21236/ADA164453",
)
LECUN = Source(
    "Efficient BackProp",
    "Y. LeCun, L. Bottou, G. B. Orr, K.-R. Müller",
    1998,
    "https://doi.org/10.1007/3-540-49430-8_2",
)
GLOROT = Source(
    "Understanding the difficulty of training deep feedforward neural networks",
    "X. Glorot, Y. Bengio",
    2010,
    "https://proceedings.mlr.press/v9/glorot10a.html",
)
HE = Source(
    "Delving Deep into Rectifiers: Surpassing Human-Level Performance on ImageNet "
    "Classification",
    "K. He, X. Zhang, S. Ren, J. Sun",
    2015,
    "https://arxiv.org/abs/1502.01852",
)
SAXE = Source(
    "Exact solutions to the nonlinear dynamics of learning in deep linear neural "
    "networks",
    "A. M. Saxe, J. L. McClelland, S. Ganguli",
    2014,
    "https://arxiv.org/abs/1312.6120",
)
LE = Source(
    "A Simple Way to Initialize Recurrent Networks of Rectified Linear Units",
    "Q. V. Le, N. Jaitly, G. E. Hinton",
    2015,
    "https://arxiv.org/abs/1504.00941",
)
XIAO = Source(
    "Dynamical Isometry and a Mean Field Theory of CNNs: How to Train 10,000-Layer "
    "Vanilla Convolutional Neural Networks",
    "L. Xiao, Y. Bahri, J. Sohl-Dickstein, S. S. Schoenholz, J. Pennington",
    2018,
    "https://proceedings.mlr.press/v80/xiao18a.html",
)
MARTENS = Source(
    "Deep learning via Hessian-free optimization",
    "J. Martens",
    2010,
    "https://icml.cc/Conferences/2010/papers/458.pdf",
)
