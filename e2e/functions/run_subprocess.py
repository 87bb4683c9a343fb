import subprocess


def ask(message: str) -> str:
    done = subprocess.run(["sh", "-c", "sleep 1; echo Forty-two."], capture_output=True, text=True, check=True)
    return done.stdout.strip()
