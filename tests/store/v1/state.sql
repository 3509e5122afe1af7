BEGIN TRANSACTION;
CREATE TABLE champions (
	usecase VARCHAR NOT NULL, 
	bundle TEXT NOT NULL, 
	release TEXT NOT NULL, 
	epoch BIGINT NOT NULL, 
	since BIGINT NOT NULL, 
	previous TEXT, 
	PRIMARY KEY (usecase)
);
INSERT INTO "champions" VALUES('fraud','fb46b0f4c2cede4f694e6c964f10625c2a952f0469c54bf9e679aae0297d137f','65c7423a5f2466848d0294d7a2cef97a541aa9b69117110536d7e05db4baeee8',2,1748304000000000,'686d774e959bc3c7de76c2ee3f6c7478af2b614dc1e3ceab2fad7014cf6cf380');
CREATE TABLE decisions (
	id VARCHAR NOT NULL, 
	seq BIGINT NOT NULL, 
	kind TEXT NOT NULL, 
	usecase TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	body TEXT NOT NULL, 
	files TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "decisions" VALUES('5f8680003e2b3372228b818317d99a5a2a013d3b497d325486f0be16e464fb0d',1,'gate','fraud',1748217600000000,'{"status":"pass"}','{}');
CREATE TABLE envelopes (
	digest VARCHAR NOT NULL, 
	usecase TEXT NOT NULL, 
	bundle TEXT NOT NULL, 
	body TEXT NOT NULL, 
	signature TEXT NOT NULL, 
	epoch BIGINT NOT NULL, 
	PRIMARY KEY (digest)
);
INSERT INTO "envelopes" VALUES('0caad2aa6a6229e3bf31b9dee3120b00b61cda40e207cb06cd8f3f28aaea534a','fraud','686d774e959bc3c7de76c2ee3f6c7478af2b614dc1e3ceab2fad7014cf6cf380','{"at":1748217600000000,"bundle":"686d774e959bc3c7de76c2ee3f6c7478af2b614dc1e3ceab2fad7014cf6cf380","format":1,"replaces":null,"report":"845e91831319e89c4d656bdb80c278ac09a7230d61e5dfd2e1b1fbb436ac8917","usecase":"fraud","verdict":"11e221bd1b7fc99544f3f765b0c39dd2786e636c3422d6bec026d1ed03884cac"}','{"key_id":"50d6eb5cda224662","signature":"8520741eb755efdf87f8fd0f97eca584205d80246de3e9cf1e0177b2a1af94b54fb1ff1467986da8d554296f9dface9561eb1e161fddacafb54a2e7f8446ff04"}',1);
INSERT INTO "envelopes" VALUES('65c7423a5f2466848d0294d7a2cef97a541aa9b69117110536d7e05db4baeee8','fraud','fb46b0f4c2cede4f694e6c964f10625c2a952f0469c54bf9e679aae0297d137f','{"at":1748304000000000,"bundle":"fb46b0f4c2cede4f694e6c964f10625c2a952f0469c54bf9e679aae0297d137f","format":1,"replaces":"686d774e959bc3c7de76c2ee3f6c7478af2b614dc1e3ceab2fad7014cf6cf380","report":"845e91831319e89c4d656bdb80c278ac09a7230d61e5dfd2e1b1fbb436ac8917","usecase":"fraud","verdict":"11e221bd1b7fc99544f3f765b0c39dd2786e636c3422d6bec026d1ed03884cac"}','{"key_id":"50d6eb5cda224662","signature":"8224e2820d08e59b2aa5632dab5d5dbef6cc9ef947bfdb3222715684b1820f1f9fcc4225b89d5bb641f5eee29f0ff565e1b3a713f16ad7405f2210d4a8310f08"}',2);
CREATE TABLE heads (
	chain VARCHAR NOT NULL, 
	seq BIGINT NOT NULL, 
	digest TEXT NOT NULL, 
	PRIMARY KEY (chain)
);
INSERT INTO "heads" VALUES('releases',2,'f52d4fffb5069c4926a9be134a2789e105469621e11f054a49bf278b3e2289a6');
INSERT INTO "heads" VALUES('decisions',1,'c6586b8092d58188d425568576a4000c7baf922a94cd7b1fa75916d833d26526');
CREATE TABLE holds (
	usecase VARCHAR NOT NULL, 
	at BIGINT NOT NULL, 
	actor TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	PRIMARY KEY (usecase)
);
CREATE TABLE journal (
	seq INTEGER NOT NULL, 
	usecase TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	body TEXT NOT NULL, 
	PRIMARY KEY (seq)
);
INSERT INTO "journal" VALUES(1,'fraud',1748217600000000,'{"kind":"alarm"}');
CREATE TABLE leases (
	usecase VARCHAR NOT NULL, 
	run TEXT, 
	epoch BIGINT NOT NULL, 
	until BIGINT NOT NULL, 
	PRIMARY KEY (usecase)
);
CREATE TABLE ledger (
	chain VARCHAR NOT NULL, 
	seq INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	body TEXT NOT NULL, 
	"before" TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	PRIMARY KEY (chain, seq)
);
INSERT INTO "ledger" VALUES('releases',1,1748217600000000,'{"action":"promote","actor":"ops","bundle":"686d774e959bc3c7de76c2ee3f6c7478af2b614dc1e3ceab2fad7014cf6cf380","case":"fraud","previous":null,"probe":{"bundle":"686d774e959bc3c7de76c2ee3f6c7478af2b614dc1e3ceab2fad7014cf6cf380","ok":true},"reason":"","release":"0caad2aa6a6229e3bf31b9dee3120b00b61cda40e207cb06cd8f3f28aaea534a"}','0000000000000000000000000000000000000000000000000000000000000000','f1952e2bc2d03562fb8254b732e771d96f0fa58ba907687eada0fd321d9730a8');
INSERT INTO "ledger" VALUES('releases',2,1748304000000000,'{"action":"promote","actor":"ops","bundle":"fb46b0f4c2cede4f694e6c964f10625c2a952f0469c54bf9e679aae0297d137f","case":"fraud","previous":"686d774e959bc3c7de76c2ee3f6c7478af2b614dc1e3ceab2fad7014cf6cf380","probe":{"bundle":"fb46b0f4c2cede4f694e6c964f10625c2a952f0469c54bf9e679aae0297d137f","ok":true},"reason":"","release":"65c7423a5f2466848d0294d7a2cef97a541aa9b69117110536d7e05db4baeee8"}','f1952e2bc2d03562fb8254b732e771d96f0fa58ba907687eada0fd321d9730a8','f52d4fffb5069c4926a9be134a2789e105469621e11f054a49bf278b3e2289a6');
INSERT INTO "ledger" VALUES('decisions',1,1748217600000000,'{"case":"fraud","id":"5f8680003e2b3372228b818317d99a5a2a013d3b497d325486f0be16e464fb0d","kind":"gate"}','0000000000000000000000000000000000000000000000000000000000000000','c6586b8092d58188d425568576a4000c7baf922a94cd7b1fa75916d833d26526');
CREATE TABLE looks (
	usecase VARCHAR NOT NULL, 
	holdout VARCHAR NOT NULL, 
	run VARCHAR NOT NULL, 
	at BIGINT NOT NULL, 
	"before" BIGINT NOT NULL, 
	PRIMARY KEY (usecase, holdout, run)
);
INSERT INTO "looks" VALUES('fraud','h1','r1',1748217600000000,0);
CREATE TABLE meta (
	name VARCHAR NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('version','1');
CREATE TABLE outbox (
	"key" VARCHAR NOT NULL, 
	subject TEXT NOT NULL, 
	text TEXT NOT NULL, 
	html TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	tries BIGINT NOT NULL, 
	due BIGINT NOT NULL, 
	sent BIGINT, 
	error TEXT, 
	PRIMARY KEY ("key")
);
INSERT INTO "outbox" VALUES('release/1','[shelflife] fraud: promoted 686d774e959b','fraud: promoted 686d774e959bc3c7de76c2ee3f6c7478af2b614dc1e3ceab2fad7014cf6cf380.
By ops, epoch 1.
Why: shelflife why fraud','<!doctype html><html><body><pre style="font: 14px/1.5 sans-serif; white-space: pre-wrap">fraud: promoted 686d774e959bc3c7de76c2ee3f6c7478af2b614dc1e3ceab2fad7014cf6cf380.
By ops, epoch 1.
Why: shelflife why fraud</pre></body></html>',1748217600000000,0,1748217600000000,NULL,NULL);
INSERT INTO "outbox" VALUES('release/2','[shelflife] fraud: promoted fb46b0f4c2ce','fraud: promoted fb46b0f4c2cede4f694e6c964f10625c2a952f0469c54bf9e679aae0297d137f.
By ops, epoch 2.
Before it: 686d774e959bc3c7de76c2ee3f6c7478af2b614dc1e3ceab2fad7014cf6cf380; shelflife rollback fraud brings that one back.
Why: shelflife why fraud','<!doctype html><html><body><pre style="font: 14px/1.5 sans-serif; white-space: pre-wrap">fraud: promoted fb46b0f4c2cede4f694e6c964f10625c2a952f0469c54bf9e679aae0297d137f.
By ops, epoch 2.
Before it: 686d774e959bc3c7de76c2ee3f6c7478af2b614dc1e3ceab2fad7014cf6cf380; shelflife rollback fraud brings that one back.
Why: shelflife why fraud</pre></body></html>',1748304000000000,0,1748304000000000,NULL,NULL);
CREATE TABLE quarantine (
	id VARCHAR NOT NULL, 
	kind TEXT NOT NULL, 
	raw BLOB NOT NULL, 
	event BOOLEAN NOT NULL, 
	problems TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	state TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "quarantine" VALUES('494fbde43955f5285bd1b00339b945ea68b53bd821835a05f561ab7d1fa64da8','view_item',X'7B22626F6479223A7B22637573746F6D6572223A226331222C226974656D223A6E756C6C2C2273657373696F6E223A227331227D2C226964223A227637222C226B696E64223A22766965775F6974656D222C227473223A313734383231373630303030303030307D',1,'["item: wanted string, got nothing"]',1748217600000000,'waiting');
COMMIT;
