"""11.orthogonal: a solution."""


def orthogonalise(matrix):
    x = matrix / matrix.norm()
    for _ in range(30):
        x = 1.5 * x - 0.5 * x @ x.T @ x
    return x
