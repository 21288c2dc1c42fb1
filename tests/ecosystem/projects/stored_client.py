import stored

stored.check()
