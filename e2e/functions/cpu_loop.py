def ask(message: str) -> str:
    total = sum(number % 7 for number in range(5_000_000))
    return "Forty-two." if total == 14_999_995 else str(total)
