"""Right and wrong answers to the exercises on the CIFAR-10 case study."""

from __future__ import annotations

import numpy as np

from initlab.checks import s10
from initlab.schemes import fans

SHAPES = [(5, 5, 3, 32), (5, 5, 32, 64), (1600, 64), (64, 10)]


def ratios(shapes=SHAPES, ratio=lambda i, o: np.sqrt((i + o) / i)):
    return [ratio(*map(float, fans(shape))) for shape in shapes]


def hidden(inputs):
    return [*SHAPES[:2], (inputs, 64), SHAPES[3]]


def holm_by_removal(p, alpha):
    left = list(p)
    while left and min(left) <= alpha / len(left):
        left.remove(min(left))
    return len(p) - len(left)


def holm_adjusted(p, alpha):
    p = np.sort(np.asarray(p, dtype=float))
    adjusted = np.maximum.accumulate(p * np.arange(len(p), 0, -1))
    return np.sum(adjusted <= alpha)


def plain(p, alpha):
    return np.count_nonzero(np.array(p) <= alpha)


def bonferroni(p, alpha):
    return sum(each <= alpha / len(p) for each in p)


def going_on(p, alpha):
    return sum(each <= alpha / (len(p) - k) for k, each in enumerate(sorted(p)))


def hochberg(p, alpha):
    left = sorted(p)
    while left and left[-1] > alpha / (len(p) - len(left) + 1):
        left.pop()
    return len(left)


def benjamini_hochberg(p, alpha):
    left = sorted(p)
    while left and left[-1] > alpha * len(left) / len(p):
        left.pop()
    return len(left)


def unsorted(p, alpha):
    count = 0
    while count < len(p) and p[count] <= alpha / (len(p) - count):
        count += 1
    return count


def ahead(p, alpha):
    p, count = sorted(p), 0
    while count < len(p) and p[count] <= alpha / max(1, len(p) - count - 1):
        count += 1
    return count


def which(p, alpha):
    return np.array(p) <= alpha / len(p)


def alarms(seed, quantile=2.776445, ddof=1, best_and_worst=False, count=np.any):
    runs = np.random.default_rng(seed).normal(70, 0.8, size=(8000, 5, 5))
    if best_and_worst:
        order = runs.mean(axis=2).argsort(axis=1)[:, [0, -1]]
        runs = np.stack([study[pair] for study, pair in zip(runs, order, strict=True)])
    gaps = [runs[:, i] - runs[:, j] for i in range(runs.shape[1]) for j in range(i)]
    found = [
        abs(gap.mean(axis=1)) > quantile * gap.std(axis=1, ddof=ddof) / np.sqrt(5)
        for gap in gaps
    ]
    return np.mean(count(found, axis=0))


def kernel(seed=1, centre=(0, 1, 2), scale="each"):
    drawn = np.random.default_rng(seed).uniform(-1, 1, size=(3, 3, 3, 32))
    drawn = drawn - drawn.mean(axis=centre) if centre else drawn
    z = s10.convolve(s10.images(), drawn)
    if scale == "each":
        return drawn / z.std(axis=(0, 1, 2))
    if scale == "square":
        return 0.1 * drawn / (0.1 * z).var(axis=(0, 1, 2))
    if scale == "all":
        return drawn / z.std()
    return drawn * np.sqrt(2 / 27) / drawn.std()


def differences():
    """Differences of random pairs of window pixels, one colour each."""
    rng = np.random.default_rng(5)
    made = np.zeros((27, 32))
    for column in made.T:
        column[rng.permutation(27)[:6]] = rng.permutation([1, -1, 2, -2, 3, -3])
    made = made.reshape(3, 3, 3, 32)
    return made / s10.convolve(s10.images(seed=2), made).std(axis=(0, 1, 2))


def twins():
    made = kernel()
    made[..., 3] = -made[..., 4]
    made[..., 5] = 1.1 * made[..., 6]
    return made


def with_a_dead_one():
    made = kernel()
    made[..., 0] = 0
    return made


RIGHT = {
    "s10.1": [ratios(), np.float32([3.4157, 1.7321, 1.0198, 1.0753])],
    "s10.2": [holm_by_removal, holm_adjusted],
    "s10.3": [alarms(0), alarms(1), 0.33],
    "s10.4": [kernel(), kernel(2), differences(), kernel().tolist()],
}

WRONG = {
    "s10.1": [
        (ratios([(3, 3, 3, 32), (3, 3, 32, 64), (2304, 64), (64, 10)]), "3 × 3"),
        (ratios(hidden(2304)), "3 × 3"),
        (ratios(hidden(64 * 64)), "padded convolutions"),
        (
            [np.sqrt(1 + 32 / 75), np.sqrt(1 + 64 / 800), *ratios()[2:]],
            "fan_out lacks the window",
        ),
        (ratios(ratio=lambda i, o: (i + o) / i), "ratios of variances"),
        (ratios(ratio=lambda i, o: np.sqrt(i / (i + o))), "upside down"),
        (ratios(ratio=lambda i, o: np.sqrt((i + o) / o)), "fan_out where He uses"),
        (ratios(ratio=lambda i, o: np.sqrt(2 * (i + o) / i)), "not over their sum"),
        (ratios(ratio=lambda i, o: np.sqrt((i + o) / i / 2)), "the ReLU's ½"),
        (ratios(ratio=lambda i, o: np.sqrt(3 * (i + o) / i)), "divided by √3"),
        (np.ones(4), "for each of the four layers"),
        (ratios()[:3], "an array of shape (4,)"),
    ],
    "s10.2": [
        (plain, "nothing is corrected"),
        (bonferroni, "this is Bonferroni's"),
        (going_on, "you go on after a failure"),
        (hochberg, "you start at the largest"),
        (benjamini_hochberg, "Benjamini and Hochberg"),
        (unsorted, "sort them first"),
        (ahead, "one step ahead"),
        (which, "a number is asked for"),
        (lambda p, alpha: holm_by_removal(p, 0.05), "for alpha = 0.2"),
    ],
    "s10.3": [
        (1 - 0.95**10, "ten independent comparisons"),
        (alarms(2, ddof=0), "set ddof=1"),
        (0.05, "that is what one pair gives"),
        (alarms(3, quantile=5.597568), "that is what one pair gives"),
        (alarms(4, count=np.sum), "the mean number of alarms"),
        (1 - alarms(5), "without an alarm"),
        (alarms(6, best_and_worst=True), "the best start with the worst only"),
        (alarms(7, quantile=1.96), "of a normal distribution"),
        (alarms(8, quantile=2.776 / np.sqrt(5)), "not the spread of one run"),
        (0.25, "draw 10,000 studies"),
    ],
    "s10.4": [
        (kernel(centre=None), "the mean of a patch decides"),
        (kernel(centre=None, scale="he"), "the mean of a patch decides"),
        (kernel(centre=(0, 1, 2, 3)), "the mean of a patch decides"),
        (kernel(scale="he"), "all are too quiet"),
        (kernel(scale="square"), "not by its square"),
        (kernel(scale="all"), "each filter needs a factor of its own"),
        (twins(), "copies up to a factor"),
        (with_a_dead_one(), "zero everywhere"),
        (kernel().reshape(27, 32), "the kernel has shape"),
        (np.full((3, 3, 3, 32), np.nan), "finite"),
    ],
}
