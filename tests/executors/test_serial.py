from autocompress.executors.serial import SerialExecutor
from autocompress.testing.executors import ExecutorContract


class TestSerialExecutor(ExecutorContract):
    def make(self, context, workers):
        return SerialExecutor(context)
