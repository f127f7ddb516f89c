"""Where health ends: every threshold of the doctor, and why it is where it is."""

from __future__ import annotations

# Networks train up to about six depth scales (Schoenholz et al. 2017), and e^6 is what
# a signal or gradient then has lost in its root mean square: e^12 in second moment.
# Three quarters of that, e^9, is called ill: healthy stacks stay below e^5.
MOST_GROWTH = 9.0
# LeCun's, Glorot's and He's std lie within a factor √2 of each other for equal fans;
# beyond 2 the scale was not chosen by the fans at all.
MOST_STD_RATIO = 2.0
# Of ReLUs without bias half are off even if all samples are alike, by the symmetry of
# their weights; so many standard deviations of that coin toss above it, a bias or a
# shift has done it.
DEAD_DEVIATIONS = 4.0
# With pre-activations N(0, 1) 3 % of tanh's slopes are flat. Half of them are from
# N(0, 3.2²) on: ten times the second moment that keeps the signal.
MOST_SATURATED = 0.5
# Standardized inputs have root mean square 1; pixels from 0 to 255 more than 100.
LARGEST_INPUT = 10.0
# Logits N(0, s²) cost up to s²/2 nats more than equal ones, and a layer that keeps its
# scale has s = 1. From s = 3 on the model is sure of itself.
MOST_EXTRA_NATS = 4.5
# The same for numbers: outputs of std 3 beside targets of std 1 lose 3² times as much
# on top of what the best constant loses.
MOST_EXTRA_RATIO = 9.0
# If base rates alone would halve the loss, the first steps only learn them.
BASE_RATE_PART = 0.5
# A lookup table is to be 1, is uniform on ±0.05 by Keras's default (0.029) and has
# 0.02 in GPT-2; with less than half of that the first layer's bias drowns it.
SMALLEST_EMBEDDING = 0.01
# A recurrence multiplies by its gain at every step: in 12 steps a gain of 2 has made
# 4096 of 1. Orthogonal kernels have gain 1.
MOST_RECURRENT_GAIN = 2.0
# Folklore wants 0.001 later on. The first step of Adam at 0.001 is 0.02 of weights of
# std 0.05; a fifth of the weights is no step but another initialization.
MOST_UPDATE = 0.2
