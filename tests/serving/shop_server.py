"""The little shop's server as a program: prints its address, and at its end the ids of the predictions that it logged."""

import json

from little_shop import Shop, linear

from pipelines.serving import server


def main(folder):
    shop = Shop(folder)
    shop.promote("fraud", linear([0.0001, 0.5]))
    keep = shop.log

    def log(events):
        with (folder / "log.jsonl").open("a") as file:
            file.writelines(event.id + "\n" for event in events)
        return keep(events)

    shop.log = log
    server.run(shop.service().app(), server.listen("127.0.0.1", 0), lambda address: print(address, flush=True))
    print(json.dumps([event.id for event in shop.predictions]))
