"""Tables that are true: means over pictures drawn at random, rounded as papers round."""

import numpy as np

from piebench_eval.lint.quantities import QUANTITIES
from piebench_eval.lint.rules.units import usual_lpips
from piebench_eval.lint.table import Row, Table, printed, standard_column


def row_of(name, line=None, **values):
    """A row of means in Table 1's units, printed as given."""
    return Row(name, {key: printed(str(text)) for key, text in values.items()}, line=line)


def table_of(*rows):
    return Table("t.csv", tuple(rows), {key: standard_column(key) for row in rows for key in row.values})


def pictures(random, number=60):
    """Per-picture scores of one method, in Table 1's units."""
    psnr = random.normal(random.uniform(19, 31), random.uniform(1, 4), number)
    return {
        "structure_distance": 10 ** random.normal(3.2 - 0.078 * psnr, 0.1),
        "psnr": psnr,
        "lpips": usual_lpips(psnr.mean()) * 10 ** random.normal(random.uniform(-0.15, 0.15), 0.1, number),
        "mse": 1e4 * 10 ** (-psnr / 10),
        "ssim": np.clip(55 + psnr + random.normal(random.uniform(-2, 2), 3, number), 40, 99.9),
        "clip_whole": random.normal(random.uniform(24, 26.5), 3, number),
        "clip_edit": random.normal(random.uniform(20.5, 22.5), 3, number),
    }


def random_table(random, methods=8, decimals=2):
    """Means of methods over pictures of their own."""
    rows = []
    for line in range(2, methods + 2):
        means = {key: values.mean() for key, values in pictures(random).items()}
        rows.append(row_of(f"Zeta{line}", line, **{key: f"{means[key]:.{decimals}f}" for key in QUANTITIES}))
    return table_of(*rows)
