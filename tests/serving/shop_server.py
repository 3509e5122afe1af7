"""The little shop's server as a program: prints its address, and at its end the ids of the predictions that it logged."""

import json
import threading
import time

from little_shop import Shop, linear, model

from pipelines.serving import server


def main(folder, swaps=0):
    shop = Shop(folder)
    shop.promote("fraud", linear([0.0001, 0.5]))
    keep = shop.log

    def log(events):
        with (folder / "log.jsonl").open("a") as file:
            file.writelines(event.id + "\n" for event in events)
        return keep(events)

    def ready(address):
        print(address, flush=True)
        threading.Thread(target=swapping, args=(shop, swaps), daemon=True).start()

    shop.log = log
    server.run(shop.service().app(), server.listen("127.0.0.1", 0), ready)
    print(json.dumps([event.id for event in shop.predictions]))


def swapping(shop, swaps):
    """Promote a new bundle every tenth of a second; its score is its epoch over 1,000, so that an answer tells where it is from."""
    for _ in range(swaps):
        time.sleep(0.1)
        shop.promote("fraud", model([(shop.count + 1) / 1000], 2))
