"""How a folder of submissions is graded; `initlab.grade` is the way in.

In the order of a submission's life: `submissions` reads a notebook, `rewrite` lets its
checks hand their answers over, `sandbox` (with `keeper`) runs a process within limits,
`kernel` runs the notebook in one (`boot` and `recorder` work inside), and `grading`
has the answers graded in another (`worker` works inside). `fingerprint` tells both
whether somebody has replaced a part of the checker.
"""
