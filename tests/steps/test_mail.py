"""The post: mail that a server did not take waits, says why, and goes out when the server is back."""

from demo.mailbox import mailbox
from demo.shop import free_port
from pipelines.core.clock import DAY
from pipelines.steps import mail


def test_mail_that_found_no_server_goes_out_when_there_is_one_again(throwaway):
    home, workspace = throwaway.opened_home(), throwaway.workspace()
    port = free_port()
    path = workspace.root / "params.yaml"
    path.write_text(path.read_text().replace("port: 9\n", f"port: {port}\n"))
    with home.state.begin() as connection:
        home.outbox.queue(connection, key="k", subject="[shelflife] fraud: data broken", text="look", at=home.clock()())
    found = mail.mail(workspace, home, send=False)
    assert (found["sent"], len(found["waiting"])) == (0, 1)
    found = mail.mail(throwaway.workspace(), home)
    assert found["sent"] == 0
    assert "refused" in found["waiting"][0]["error"]
    home.simulated(home.clock()() + DAY)
    with mailbox("127.0.0.1", port) as box:
        assert mail.mail(throwaway.workspace(), home)["text"] == "1 sent, 0 waiting"
    assert box.subjects == ["[shelflife] fraud: data broken"]
