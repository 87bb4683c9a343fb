import multiprocessing


def ask(message: str) -> str:
    with multiprocessing.Pool(2) as pool:
        return "-".join(pool.map(str.strip, [" Forty ", " two. "]))
