import wit_world


class WitWorld(wit_world.WitWorld):
    def greet(self, number: int) -> int:
        """The number that follows."""
        return number + 1
